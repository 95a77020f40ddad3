// VMAs for traces that do not tell them: the union of what is touched.
//
// Simplified:  pages up to kInferredGap apart share a VMA, so that a hole that the program never touched looks mapped;
//              a mapping whose end is never touched looks shorter. Both shift where 2 MiB ranges fit; the report says
//              "VMAs inferred".
#pragma once

#include <string>
#include <vector>

#include "sim/trace/trace_touched.h"

namespace collapsar {

// 32 pages, 128 KiB: glibc's M_MMAP_THRESHOLD; what lies closer together usually came from one mapping.
inline constexpr std::uint64_t kInferredGap = 32 * kPageBytes;
inline constexpr const char* kInferredNote =
    "VMAs inferred: the trace tells no mappings; touched pages less than 128 KiB apart share a VMA";

class TouchedRanges {
 public:
  void add(const Record& r) {
    const std::uint64_t last = (r.va + r.size - 1) >> kPageShift;
    for (std::uint64_t page = r.va >> kPageShift; page <= last; ++page) pages_.add(page);
  }
  // The process and its VMAs: readable, writable, executable, private and anonymous.
  std::vector<TraceEvent> inferred_image(std::uint32_t pid, std::uint32_t tid, const std::string& name) const;

 private:
  PageSet pages_;
};

}  // namespace collapsar
