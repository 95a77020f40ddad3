#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/core/config.h"

namespace collapsar {

namespace fs = std::filesystem;

namespace {

constexpr std::uintmax_t kMaxFileBytes = 16 * kMiB;  // whoever gives more meant a trace

class Layering {
 public:
  explicit Layering(const std::vector<std::string>& search_dirs) : search_dirs_(search_dirs) {}

  ConfigNode load(const std::string& path) {
    chain_.push_back(path);
    ConfigNode config = expand(load_yaml(path));
    chain_.pop_back();
    files_.push_back(path);
    return config;
  }
  // `config` on top of what its `base` names.
  ConfigNode expand(ConfigNode config) {
    const ConfigNode* base = config.child("base");
    if (!base) return config;
    if (!base->is_scalar()) wrong_kind(*base, "base", "a file");
    const std::string path = locate(*base);
    refuse_cycle(*base, path);
    ConfigNode merged = load(path);
    config.erase("base");
    merged.merge(std::move(config));
    return merged;
  }
  std::vector<std::string> take_files() { return std::move(files_); }

 private:
  std::string locate(const ConfigNode& base) const {
    std::vector<std::string> candidates{file_path(base).resolved()};
    if (!fs::path(base.text).is_absolute())
      for (const std::string& dir : search_dirs_) candidates.push_back((fs::path(dir) / base.text).lexically_normal());
    std::error_code ignored;
    for (const std::string& candidate : candidates)
      if (fs::is_regular_file(candidate, ignored)) return candidate;
    config_error(base.place, "base", fmt::format("no file {}; looked for {}", base.text, fmt::join(candidates, ", ")));
  }
  void refuse_cycle(const ConfigNode& base, const std::string& path) const {
    std::error_code ignored;
    for (const std::string& open : chain_)
      if (fs::equivalent(open, path, ignored))
        config_error(base.place, "base",
                     fmt::format("{} leads back to itself: {} -> {}", path, fmt::join(chain_, " -> "), path));
  }

  const std::vector<std::string>& search_dirs_;
  std::vector<std::string> chain_;  // files whose base is being read
  std::vector<std::string> files_;
};

}  // namespace

std::string FilePath::resolved() const {
  if (text.empty() || directory.empty() || fs::path(text).is_absolute()) return text;
  return (fs::path(directory) / text).lexically_normal();
}

ConfigNode load_yaml(const std::string& path) {
  const Place place{path, 0, 0};
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) config_error(place, "", fmt::format("cannot be read: {}", error.message()));
  if (size > kMaxFileBytes) config_error(place, "", fmt::format("{} bytes; a config is at most 16 MiB of YAML", size));
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) config_error(place, "", fmt::format("cannot be read: {}", std::strerror(errno)));
  return parse_yaml(text.str(), path);
}

ConfigLayers load_config_layers(const std::string& file, const std::vector<std::string>& search_dirs) {
  Layering layering(search_dirs);
  ConfigNode config = layering.load(file);
  return {std::move(config), layering.take_files()};
}

ConfigLayers expand_base(const ConfigNode& config, const std::vector<std::string>& search_dirs) {
  Layering layering(search_dirs);
  ConfigNode expanded = layering.expand(config);
  return {std::move(expanded), layering.take_files()};
}

}  // namespace collapsar
