// VMAs for traces that do not tell them: the union of what is touched.
//
// Simplified:  pages up to a gap apart share a VMA, so that a hole that the program never touched looks mapped; a
//              mapping whose end is never touched looks shorter. Both shift where 2 MiB ranges fit; the report says
//              "VMAs inferred".
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/trace/trace_touched.h"

namespace collapsar {

// 32 pages, 128 KiB: glibc's M_MMAP_THRESHOLD; what lies closer together usually came from one mapping. Doubled until
// the process has no more VMAs than the kernel allows.
inline constexpr std::uint64_t kInferredGap = 32 * kPageBytes;
inline constexpr std::size_t kMostVmas = 65530;  // vm.max_map_count: DEFAULT_MAX_MAP_COUNT, include/linux/mm.h
inline constexpr const char* kInferredNote =
    "VMAs inferred: the trace tells no mappings; touched pages less than 128 KiB apart share a VMA, those further "
    "apart too "
    "where a process would have more than 65530";

class TouchedRanges {
 public:
  void add(const Record& r) {
    const std::uint64_t last = (r.va + r.size - 1) >> kPageShift;
    for (std::uint64_t page = r.va >> kPageShift; page <= last; ++page) pages_.add(page);
  }
  std::size_t chunks() const { return pages_.chunks(); }
  // The process and its VMAs: readable, writable, executable, private and anonymous.
  std::vector<TraceEvent> inferred_image(std::uint32_t pid, std::uint32_t tid, const std::string& name) const;

 private:
  std::uint64_t gap() const;
  PageSet pages_;
};

// Where the program has mapped something itself, up to some moment.
class MappedRanges {
 public:
  void add(std::uint64_t start, std::uint64_t end) {
    remove(start, end);
    if (start < end) ranges_[start] = end;
  }
  void remove(std::uint64_t start, std::uint64_t end);
  bool contains(std::uint64_t address) const {
    const auto it = ranges_.upper_bound(address);
    return it != ranges_.begin() && address < std::prev(it)->second;
  }
  std::size_t size() const { return ranges_.size(); }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;
};

}  // namespace collapsar
