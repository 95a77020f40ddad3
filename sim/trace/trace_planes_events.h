// Events of the captured plane format: NAME.PID.SEQ.events.zst, text -> TraceEvents of one process image.
//
// Models:      one line per event, `INDEX THREAD USEC WORDS...`; only what changes an address space, a thread or a
//              process stays.
// Simplified:  a file mapped by descriptor is told apart by descriptor and mapping, not by name: a mapping without
//              MAP_FIXED opens a new file, one with MAP_FIXED belongs to the last file of that descriptor.
// Errors:      TraceError with file, line and byte offset (after decompression).
// Source:      traces/README.md, "Captured planes".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/trace/trace.h"

namespace collapsar {

// A record index at a moment.
struct PlaneAnchor {
  std::uint64_t index = 0;
  std::int64_t ns = 0;
};

// The same number for the same file, over all files of a recording, in order of appearance from 1.
class FileNumbers {
 public:
  std::uint64_t of(const std::string& key) { return numbers_.try_emplace(key, numbers_.size() + 1).first->second; }

 private:
  std::map<std::string, std::uint64_t> numbers_;
};

// One process image (from start, fork or exec to exit or the next exec). Indices count records of its own file, thread
// switches included; stamps are absolute.
struct PlaneEvents {
  std::uint32_t pid = 0, tid = 1;
  std::string exe;
  std::optional<std::uint32_t> forked_from;
  std::uint64_t parent_index = 0;
  std::vector<TraceEvent> image;   // its first VMAs and rooms; of a forked child: a check, not to be replayed
  std::vector<TraceEvent> events;  // in order
  std::vector<PlaneAnchor> anchors;
  std::map<std::uint32_t, TraceEvent> waited;  // children that a wait4 found ended: the event of their exit
  bool ends_with_exec = false;
  bool is_truncated = false;
};

// What the `process` line says, for ordering the files of a recording before the events are read.
PlaneEvents read_plane_header(const std::string& file);
// `children`: pids whose own files are given; tells a clone3 child from a thread.
PlaneEvents read_plane_events(const std::string& file, std::uint64_t records, const std::set<std::uint32_t>& children,
                              FileNumbers& files);

}  // namespace collapsar
