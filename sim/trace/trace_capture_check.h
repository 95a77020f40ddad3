// CapturedSpace: what a captured process has mapped and touched, to hold each reference against it.
//
// Models:      the VMAs, the heap, and the room of the stack as if it had grown already; nothing inside them.
// Fast:        a page that was found mapped is remembered in a small direct-mapped table until the space changes.
#pragma once

#include <array>
#include <cstdint>

#include "sim/trace/trace_infer.h"

namespace collapsar {

class CapturedSpace {
 public:
  void apply(const TraceEvent& event);
  // Counts a reference. Calls f(page) for pages that have not been seen since the space last changed.
  template <class F>
  void touch(const Record& r, F f) {
    const std::uint64_t first = r.va >> kPageShift, last = (r.va + r.size - 1) >> kPageShift;
    if (is_known(first) && (first == last || is_known(last))) return;
    for (std::uint64_t page = first; page <= last; ++page) look_up(page), f(page);
  }
  std::uint64_t pages() const { return pages_; }      // touched, of 4 KiB
  std::uint64_t outside() const { return outside_; }  // references to pages that are not mapped
  void fork_from(const CapturedSpace& parent);        // the mappings, nothing touched

 private:
  static constexpr std::size_t kKnown = 4096;
  bool is_known(std::uint64_t page) const { return known_[page % kKnown] == page + generation_; }
  void look_up(std::uint64_t page);
  void set_break(std::uint64_t end);
  void forget() { generation_ += kGeneration; }
  static constexpr std::uint64_t kGeneration = 1ULL << 40;  // page numbers are below

  MappedRanges mapped_;
  std::uint64_t heap_end_ = 0;
  PageSet touched_;
  std::uint64_t pages_ = 0, outside_ = 0;
  std::array<std::uint64_t, kKnown> known_{};
  std::uint64_t generation_ = kGeneration;
};

}  // namespace collapsar
