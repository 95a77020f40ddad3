// The traces that a test is to go over: those of the folder that COLLAPSAR_TRACES names, or the project's own.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace collapsar::test {

inline bool has_trace_folder() { return std::getenv("COLLAPSAR_TRACES") != nullptr; }

// Name -> the files of one recording: a .ctr alone, or NAME.<pid>.<n>.mtp.zst of every process.
inline std::map<std::string, std::vector<std::string>> recordings() {
  namespace fs = std::filesystem;
  const fs::path own = fs::path(COLLAPSAR_SOURCE_DIR) / "traces";
  std::map<std::string, std::vector<std::string>> found;
  for (const auto& entry : fs::directory_iterator(has_trace_folder() ? std::getenv("COLLAPSAR_TRACES") : own)) {
    const std::string name = entry.path().filename();
    if (name.ends_with(".ctr") || name.ends_with(".mtp.zst"))
      found[name.substr(0, name.find('.'))].push_back(entry.path());
  }
  for (auto& [name, files] : found) std::sort(files.begin(), files.end());
  return found;
}

}  // namespace collapsar::test
