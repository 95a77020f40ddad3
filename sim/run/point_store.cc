#include "sim/run/point_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "sim/run/report.h"
#include "sim/run/source_digest.h"
#include "sim/trace/trace_bytes.h"

namespace collapsar {

namespace fs = std::filesystem;

namespace {

constexpr const char* kIdentity = "identity.yaml";

std::uint64_t hash_of_text(const std::string& text) {
  return fnv1a({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

// Everything that decides which references come.
std::string replayed(const ExperimentConfig& config) {
  std::string text = to_yaml(write_config(config.trace)) + fmt::format("seed: {}\n", config.seed);
  for (const FilePath& file : config.trace.file) text += file.resolved() + "\n";
  return text;
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream)
    throw ConfigError(fmt::format("{}: cannot be read; remove its folder to have the point run again", file.string()));
  return text.str();
}

bool is_unfinished(const fs::path& name) { return name.filename().string().starts_with('.'); }

}  // namespace

const std::string& PointIdentities::hash_of(const ExperimentConfig& config) {
  const std::string what = replayed(config);
  for (const auto& [known, hash] : hashes_)
    if (known == what) return hash;
  return hashes_.emplace_back(what, open_trace_of(config, options_)->info().hash).second;
}

PointIdentity PointIdentities::of(const Experiment& experiment) {
  ConfigNode all = ConfigNode::map(), traces = ConfigNode::map();
  for (const Variant& variant : experiment.variants) {
    ConfigNode hash = write_text(hash_of(variant.config));
    hash.key = variant.name;  // as it is: a name may hold dots
    traces.children.push_back(std::move(hash));
  }
  all.set("program", write_text(fmt::format("{} {}", COLLAPSAR_VERSION, source_digest())));
  all.set("traces", std::move(traces));
  all.set("config", experiment.effective());
  PointIdentity identity{to_yaml(all), {}};
  identity.key = fmt::format("{:016x}", hash_of_text(identity.text));
  return identity;
}

PointStore::PointStore(const std::string& directory) : directory_(directory), points_(directory_ / "points") {}

PointStore::~PointStore() {
  if (lock_ >= 0) ::close(lock_);
}

// The kernel gives the lock back when its holder dies.
void PointStore::lock() {
  prepare_report_directory(points_);
  const fs::path file = directory_ / ".lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) throw ConfigError(fmt::format("--out: {} cannot be written", file.string()));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
    throw ConfigError(fmt::format("--out: another sweep is at work in {}; choose another directory, or wait for it",
                                  directory_.string()));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(points_))
    if (is_unfinished(entry.path())) fs::remove_all(entry.path(), ignored);
}

bool PointStore::has(const PointIdentity& point) const {
  std::error_code ignored;
  const fs::path file = folder(point) / kIdentity;
  return fs::is_regular_file(file, ignored) && text_of(file) == point.text;
}

PointFiles files_of(const ExperimentResult& result) {
  return {{"result.json", json_report(result)},
          {"timeseries.csv", timeseries_csv(result)},
          {"ranges.csv", ranges_csv(result)},
          {"table.txt", table_report(result)}};
}

void PointStore::put(const PointIdentity& point, const PointFiles& files) const {
  const fs::path unfinished = points_ / fmt::format(".{}.new", point.key);
  prepare_report_directory(unfinished);
  for (const auto& [name, text] : files) write_whole_file(unfinished / name, text);
  write_whole_file(unfinished / kIdentity, point.text);
  std::error_code error;
  fs::remove_all(folder(point), error);  // another point of the same key, or a damaged one
  fs::rename(unfinished, folder(point), error);
  if (error) throw ConfigError(fmt::format("--out: {} cannot be written: {}", folder(point).string(), error.message()));
}

std::string PointStore::read(const PointIdentity& point, const char* file) const {
  return text_of(folder(point) / file);
}

}  // namespace collapsar
