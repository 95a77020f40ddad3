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

std::string file_name(const std::string& path);  // without directories

}  // namespace collapsar
