// Which reader a file needs: told by its content, and for captured planes by the names that belong together.
#include <algorithm>
#include <filesystem>

#include "sim/core/error.h"
#include "sim/trace/trace_input.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

// NAME.PID.SEQ for any of its three files; empty for other names.
std::string plane_stem(const std::string& file) {
  for (const std::string_view suffix : {".mtp.zst", ".events.zst"}) {
    if (file.ends_with(suffix)) return file.substr(0, file.size() - suffix.size());
  }
  if (file.ends_with(".json") && std::filesystem::exists(file.substr(0, file.size() - 5) + ".mtp.zst"))
    return file.substr(0, file.size() - 5);
  return std::filesystem::exists(file + ".mtp.zst") ? file : "";
}

std::unique_ptr<TraceSource> open_one(const std::string& file) {
  if (is_ctr(file)) return open_ctr(file);
  if (is_lackey(file)) return open_lackey(file);
  trace_error(file, 0, 0,
              "the format is unknown; a .ctr file, NAME.mtp.zst with NAME.events.zst, or text of valgrind "
              "--tool=lackey --trace-mem=yes is right");
}

}  // namespace

std::unique_ptr<TraceSource> open_trace(const std::vector<std::string>& files) {
  if (files.empty()) throw TraceError("no trace file is named; one, or several of one recording, is right");
  std::vector<std::string> stems;
  std::string other;
  for (const std::string& file : files) {
    const std::string stem = plane_stem(file);
    if (stem.empty()) other = file;
    else if (std::find(stems.begin(), stems.end(), stem) == stems.end()) stems.push_back(stem);
  }
  if (!stems.empty() && !other.empty())
    throw TraceError(
        fmt::format("{}: is no .mtp.zst file like the others; files of one recording have one format", other));
  if (!stems.empty()) return open_planes(stems);
  if (files.size() > 1)
    throw TraceError(
        fmt::format("{}: this format holds a whole recording in one file; only .mtp.zst files are merged", files[1]));
  return open_one(files.front());
}

}  // namespace collapsar
