// The report directory: all files under temporary names first, then renamed.
#include <filesystem>
#include <fstream>

#include "sim/run/report.h"

namespace collapsar {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void cannot_write(const fs::path& path, const std::string& why) {
  throw ConfigError(fmt::format("--out: {} cannot be written: {}", path.string(), why));
}

fs::path temporary(const fs::path& file) { return file.parent_path() / ("." + file.filename().string() + ".new"); }

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream << text;
  stream.close();
  if (!stream) cannot_write(path, "no space, or no permission");
}

// Temporary files that never got their name go away with it.
class Files {
 public:
  explicit Files(fs::path directory) : directory_(std::move(directory)) {}
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  ~Files() {
    std::error_code ignored;
    for (const fs::path& file : files_) fs::remove(temporary(file), ignored);
  }
  void add(const char* name, const std::string& text) {
    files_.push_back(directory_ / name);
    write_file(temporary(files_.back()), text);
  }
  void rename_all() {
    std::error_code error;
    for (const fs::path& file : files_) {
      fs::rename(temporary(file), file, error);
      if (error) cannot_write(file, error.message());
    }
  }

 private:
  fs::path directory_;
  std::vector<fs::path> files_;
};

}  // namespace

void prepare_report_directory(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) cannot_write(directory, error.message());
  const fs::path probe = fs::path(directory) / ".probe.new";
  write_file(probe, "");
  fs::remove(probe, error);
}

ReportDirectory::ReportDirectory(const std::string& directory) {
  if (directory.empty()) return;
  for (fs::path path = fs::path(directory) / ""; path != path.parent_path();) {
    path = path.parent_path();
    if (path.empty() || fs::exists(path)) break;
    made_.push_back(path.string());
  }
  prepare_report_directory(directory);
}

ReportDirectory::~ReportDirectory() {
  std::error_code error;
  for (const std::string& path : made_)
    if (!fs::remove(path, error)) return;  // it is not empty
}

void write_whole_file(const std::string& path, const std::string& text) {
  const fs::path file(path);
  Files files(file.parent_path());
  files.add(file.filename().c_str(), text);
  files.rename_all();
}

void write_report(const ExperimentResult& result, const std::string& directory, const std::vector<VirtAddr>& why) {
  prepare_report_directory(directory);
  Files files(directory);
  files.add("report.html", html_report(result));
  files.add("result.json", json_report(result, why));
  files.add("timeseries.csv", timeseries_csv(result));
  files.add("ranges.csv", ranges_csv(result));
  files.add("events.json", events_report(result));
  files.rename_all();
}

}  // namespace collapsar
