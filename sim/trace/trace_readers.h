// The readers behind open_trace and make_window: one function per format.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/trace/trace.h"

namespace collapsar {

// A source that can leave out references without decoding all of them.
class SkippingSource : public TraceSource {
 public:
  // From now on the source yields no reference below `index`, but every event. Called before the first next() or
  // rewind().
  virtual void drop_references_before(std::uint64_t index) = 0;
};

inline constexpr std::size_t kMaxRun = 65536;  // references of a TraceRun
using RecordBuffer = std::vector<Record>;      // of kMaxRun records

// Buffers of one run each. A consumer may keep a run; its buffer comes back when the last run of it is gone.
// Requires: one thread; a source and its runs stay in the thread that reads it.
class BufferPool {
 public:
  std::shared_ptr<RecordBuffer> take() {
    for (std::shared_ptr<RecordBuffer>& buffer : buffers_) {
      if (buffer.use_count() == 1) return buffer;
    }
    return buffers_.emplace_back(std::make_shared<RecordBuffer>(kMaxRun));
  }

 private:
  std::vector<std::shared_ptr<RecordBuffer>> buffers_;
};

bool is_ctr(const std::string& file);
std::unique_ptr<TraceSource> open_ctr(const std::string& file);
// Stems (NAME.PID.SEQ) of the files of one recording.
std::unique_ptr<TraceSource> open_planes(const std::vector<std::string>& stems);
bool is_lackey(const std::string& file);
std::unique_ptr<TraceSource> open_lackey(const std::string& file);

// Formats of others, and the text format; see the file of each.
bool is_din(const std::string& file);
std::unique_ptr<TraceSource> open_din(const std::string& file);
bool is_champsim(const std::string& file);
std::unique_ptr<TraceSource> open_champsim(const std::string& file);
bool is_perf(const std::string& file);
std::unique_ptr<TraceSource> open_perf(const std::string& file);
bool is_text(const std::string& file);
std::unique_ptr<TraceSource> open_text(const std::string& file);
bool is_drmemtrace(const std::string& file);  // a folder, or the file of one thread
std::unique_ptr<TraceSource> open_drmemtrace(const std::vector<std::string>& files);

// A sink that may be told at the end what only then is known: complete or not, resident set, notes.
class DescribedSink : public TraceSink {
 public:
  virtual void describe(const TraceInfo& info) = 0;  // before finish(); counts and hash stay its own
};

// Level 6 in chains packed twelve traces of real programs some 5 % smaller than level 3 and decompresses as fast; only
// writing is slower.
struct CtrPacking {
  int level = 6;           // of zstd
  bool is_chained = true;  // blocks lean on the one before
};
std::unique_ptr<DescribedSink> create_ctr(const std::string& file, const TraceInfo& info, CtrPacking packing = {});
std::unique_ptr<TraceSink> create_text(const std::string& file, const TraceInfo& info);

std::string file_name(const std::string& path);  // without directories
inline TraceInfo named_info(const std::string& file, const char* format) {
  TraceInfo info;
  info.name = file_name(file), info.format = format;
  return info;
}

}  // namespace collapsar
