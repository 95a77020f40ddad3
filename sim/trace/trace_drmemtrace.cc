// DynamoRIO drmemtrace: a folder with one file per thread, or such files alone, merged by their time stamps.
//
// Order:       the thread whose last time stamp is earliest goes on until its next stamp; equal ones in order of file name.
//              Stamps stand where a buffer was written and around system calls: some thousand references apart.
// Simplified:  so within such a stretch the order between threads is not the real one.
#include "sim/trace/trace_drmemtrace.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "sim/trace/trace_input.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

namespace fs = std::filesystem;

class DrmemReader : public ForeignReader {
 public:
  explicit DrmemReader(std::vector<std::string> files) : files_(std::move(files)) { rewind(); }
  Kind next(Item& item) override;
  void rewind() override;
  void describe(TraceInfo& info) const override;

 private:
  void choose();
  std::int64_t now_ns() const;

  std::vector<std::string> files_;
  DrmemFacts facts_;
  std::vector<std::unique_ptr<DrmemThread>> threads_;
  std::set<std::pair<std::uint64_t, std::size_t>> order_;  // last stamp, number of the thread
  std::size_t current_ = 0;
  std::uint64_t start_us_ = 0;
  enum class Due : std::uint8_t { nothing, thread, time } due_ = Due::nothing;
};

// Each thread is read up to its first stamp: nothing of interest stands before.
void DrmemReader::rewind() {
  threads_.clear(), order_.clear();
  facts_ = {};
  for (const std::string& file : files_) {
    threads_.push_back(std::make_unique<DrmemThread>(file, facts_));
    Item item;
    Kind kind;
    while ((kind = threads_.back()->next(item)) == Kind::thread) continue;
    if (kind == Kind::end) continue;
    if (kind != Kind::time)
      throw TraceError(fmt::format("{}: a reference stands before the first time stamp; one behind it is right", file));
    order_.emplace(threads_.back()->time_us(), threads_.size() - 1);
  }
  start_us_ = order_.empty() ? 0 : order_.begin()->first;
  if (!order_.empty()) choose();
}

std::int64_t DrmemReader::now_ns() const {
  constexpr std::uint64_t kCentury = 3'200'000'000'000'000;  // in us
  const std::uint64_t us = threads_[current_]->time_us() - start_us_;
  if (us > kCentury) throw TraceError(fmt::format("{}: its time stamps are {} us apart", files_[current_], us));
  return static_cast<std::int64_t>(us) * 1000;
}

void DrmemReader::choose() {
  current_ = order_.begin()->second;
  due_ = Due::thread;
}

ForeignReader::Kind DrmemReader::next(Item& item) {
  while (!order_.empty()) {
    const DrmemThread& thread = *threads_[current_];
    if (due_ == Due::thread) {
      due_ = Due::time;
      item.pid = thread.pid(), item.tid = thread.tid();
      return Kind::thread;
    }
    if (due_ == Due::time) {
      due_ = Due::nothing;
      item.time_ns = now_ns();
      return Kind::time;
    }
    const std::pair<std::uint64_t, std::size_t> place(thread.time_us(), current_);
    const Kind kind = threads_[current_]->next(item);
    if (kind == Kind::reference || kind == Kind::event) return kind;
    if (kind == Kind::thread) {
      due_ = Due::thread;
      continue;
    }
    order_.erase(place);
    if (kind == Kind::time) {
      order_.emplace(thread.time_us(), current_);
      item.time_ns = now_ns();
    }
    if (!order_.empty() && order_.begin()->second != current_) choose();
    if (kind == Kind::time) return Kind::time;
  }
  return Kind::end;
}

void DrmemReader::describe(TraceInfo& info) const {
  info.notes.emplace_back("time stamps are those of the traced run, slowed down by the tracer");
  if (facts_.is_filtered) info.notes.emplace_back("filtered while recording: references are missing");
  if (facts_.has_windows)
    info.complete = false, info.notes.emplace_back("recorded in windows: what lies between them is missing");
  if (facts_.kernel_left_out > 0)
    info.notes.push_back(fmt::format("{} references of the kernel left out", facts_.kernel_left_out));
  if (facts_.calls_left_out > 0)
    info.notes.push_back(
        fmt::format("{} system calls left out: recorded without their arguments or result", facts_.calls_left_out));
}

// drmemtrace.APP.TID.NUMBER.trace.zip; beside it lie schedules and other files.
bool is_thread_file(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with("drmemtrace.") && name.find(".trace") != std::string::npos && fs::is_regular_file(path);
}

std::vector<std::string> thread_files(const std::string& folder) {
  std::error_code error;
  fs::path path(folder);
  if (fs::is_directory(path / "trace", error)) path /= "trace";
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (is_thread_file(entry.path())) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  if (files.empty())
    throw TraceError(fmt::format(
        "{}: no drmemtrace: the folder, or trace/ in it, has no drmemtrace.*.trace.zip; a post-processed one is right",
        folder));
  return files;
}

}  // namespace

bool is_drmemtrace(const std::string& file) { return fs::is_directory(file) || DrmemThread::is_drmem(file); }

std::unique_ptr<TraceSource> open_drmemtrace(const std::vector<std::string>& names) {
  std::vector<std::string> files;
  for (const std::string& name : names) {
    if (!fs::is_directory(name)) files.push_back(name);
    else
      for (const std::string& file : thread_files(name)) files.push_back(file);
  }
  for (const std::string& file : files)
    if (!DrmemThread::is_drmem(file))
      throw TraceError(
          fmt::format("{}: no drmemtrace file that can be read; zip, gzip, zstd, xz, bzip2 or plain is right", file));
  const fs::path first = fs::path(names.front()).lexically_normal();
  TraceInfo info;
  info.name = first.has_filename() ? first.filename().string() : first.parent_path().filename().string();
  info.format = "drmemtrace";
  const std::string file = file_name(files.front());  // drmemtrace.APP.TID. ...
  if (const std::size_t dot = file.find('.'); file.starts_with("drmemtrace.") && file.find('.', dot + 1) < file.size())
    info.program = file.substr(dot + 1, file.find('.', dot + 1) - dot - 1);
  return make_foreign_source(std::make_unique<DrmemReader>(files), std::move(info), files);
}

}  // namespace collapsar
