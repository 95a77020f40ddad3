// ForeignReader: one format of somebody else's, read item by item; make_foreign_source() makes a TraceSource of it.
//
// Models:      what the formats have in common: a process that the file does not describe has its VMAs inferred from what is
//              touched where no system call had mapped; a thread that nobody creates is created before its first
//              reference; a trace without instruction counts gets a constant gap.
// Order:       as read. Two passes over the file: one to count and to infer, one to replay.
// Errors:      TraceError from the reader, with the place; the limits below are held here.
// Memory:      a bit per touched page (128 MiB of host memory at most), one run of references, and per thread and mapping
//              some 100 bytes, of at most 65,536 threads and 1,048,576 mappings.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/trace/trace.h"

namespace collapsar {

class ForeignReader {
 public:
  enum class Kind : std::uint8_t {
    reference,  // `record`, by the current thread
    event,      // `event`, with its pid and tid
    time,       // it is `time_ns` now, from the start of the trace; without, every stamp is 0
    thread,     // `pid`, `tid` from here on; without, all is thread 1 of process 1
    end,
  };
  struct Item {
    Record record;
    TraceEvent event;
    std::uint32_t pid = 1, tid = 1;
    std::int64_t time_ns = 0;
    std::string program;  // with `thread`: what the process is called, if the file tells
  };
  virtual ~ForeignReader() = default;
  virtual Kind next(Item& item) = 0;
  virtual void rewind() = 0;
  // Called when next() has said `end` once: what the file has told of itself. Counts are filled in already.
  virtual void describe(TraceInfo&) const {}
};

// `info` has name and format; `files` are hashed. Reads everything once.
std::unique_ptr<TraceSource> make_foreign_source(std::unique_ptr<ForeignReader> reader, TraceInfo info,
                                                 const std::vector<std::string>& files);

// Instructions between two data references where a format counts none and shows no fetches: about what x86-64 integer
// code retires per load or store; the captured planes use the same.
inline constexpr std::uint32_t kEstimatedGap = 3;

}  // namespace collapsar
