// MappedAt: what is mapped where, as the events of a trace tell.
//
// Models:      mappings that come, go, move, are cut by others, and end with their process or its program.
// Simplified:  a heap that brk has made is no mapping; protection is that of the call that made the mapping.
#pragma once

#include <map>
#include <vector>

#include "sim/trace/trace.h"

namespace collapsar {

class MappedAt {
 public:
  void apply(const TraceEvent& event);
  // The events that made them, cut to what is left; by process, then by address.
  std::vector<TraceEvent> list() const;

 private:
  // By process, then by address; none overlap, and lengths are of whole pages.
  std::map<std::uint32_t, std::map<std::uint64_t, TraceEvent>> vmas_;
};

}  // namespace collapsar
