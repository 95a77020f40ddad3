// Which reader a file needs: told by its content, and for captured planes by the names that belong together.
#include <algorithm>
#include <filesystem>

#include "sim/core/error.h"
#include "sim/trace/trace_input.h"
#include "sim/trace/trace_readers.h"
#include "sim/trace/trace_text.h"

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

struct Format {
  bool (*is_one)(const std::string& file);
  std::unique_ptr<TraceSource> (*open)(const std::string& file);
};
// In this order: those with a magic number first, those told by the look of their content behind.
constexpr Format kFormats[] = {{is_ctr, open_ctr},   {is_text, open_text}, {is_lackey, open_lackey},
                               {is_perf, open_perf}, {is_din, open_din},   {is_champsim, open_champsim}};

std::unique_ptr<TraceSource> open_one(const std::string& file) {
  for (const Format& format : kFormats)
    if (format.is_one(file)) return format.open(file);
  trace_error(file, 0, 0,
              "the format is unknown; a .ctr file, NAME.mtp.zst with NAME.events.zst, collapsar's text format, text of "
              "valgrind --tool=lackey --trace-mem=yes or of perf script, a drmemtrace folder, Dinero din or ChampSim "
              "records, packed or not, is right");
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
  if (is_drmemtrace(files.front())) return open_drmemtrace(files);
  if (files.size() > 1)
    throw TraceError(fmt::format(
        "{}: this format holds a whole recording in one file; only .mtp.zst and drmemtrace files are merged",
        files[1]));
  return open_one(files.front());
}

std::unique_ptr<TraceSink> create_trace(const std::string& file, const TraceInfo& info) {
  return file.ends_with(kTextSuffix) ? create_text(file, info) : create_ctr(file, info);
}

}  // namespace collapsar
