// ResidentPages: which of the pages that a trace touches were there before its first reference.
//
// Models:      for every process alive at the first reference, its mappings of that moment, and what became of them: an
//              unmapped or replaced part is out, a moved part is known by its first address, a forked child's untouched
//              inheritance belongs to the process it came from.
// Simplified:  a page that the program dropped (MADV_DONTNEED) and touched again counts as there; room below a stack
//              does not.
// Owns:        one bit per touched page, in chunks of 128 MiB of address space, 65,536 of them at most (TraceError).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "sim/trace/trace.h"

namespace collapsar {

// Page numbers as a two-level bitmap.
class PageSet {
 public:
  // False: it was there.
  bool add(std::uint64_t page) {
    if (page >> kChunkShift != last_number_) find_chunk(page >> kChunkShift);
    std::uint64_t& word = (*last_)[(page & (kChunkPages - 1)) / 64];
    const std::uint64_t bit = 1ULL << (page % 64);
    if (word & bit) return false;
    word |= bit;
    return true;
  }
  void remove(std::uint64_t first, std::uint64_t end) {
    for (auto& [number, chunk] : chunks_) {
      const std::uint64_t from = std::max(first, number << kChunkShift);
      const std::uint64_t to = std::min(end, (number + 1) << kChunkShift);
      for (std::uint64_t page = from; page < to; ++page)
        (*chunk)[(page & (kChunkPages - 1)) / 64] &= ~(1ULL << (page % 64));
    }
  }
  std::size_t chunks() const { return chunks_.size(); }  // 4 KiB of host memory each
  // Calls f(page) for the members in [first, end), ascending.
  template <class F>
  void for_each(std::uint64_t first, std::uint64_t end, F f) const {
    for (const std::uint64_t number : numbers()) {
      const std::uint64_t chunk_start = number << kChunkShift;
      const Chunk& chunk = *chunks_.at(number);
      std::uint64_t page = std::max(first, chunk_start);
      for (const std::uint64_t stop = std::min(end, chunk_start + kChunkPages); page < stop; ++page) {
        const std::uint64_t word = chunk[(page & (kChunkPages - 1)) / 64];
        if (word == 0) page |= 63;
        else if (word >> (page % 64) & 1) f(page);
      }
    }
  }
  std::vector<VirtRange> ranges() const;  // of addresses, ascending, as few as possible

 private:
  static constexpr unsigned kChunkShift = 15;
  static constexpr std::uint64_t kChunkPages = 1ULL << kChunkShift;
  static constexpr std::size_t kMostChunks = 1u << 16;  // 256 MiB of host memory; 8 TiB touched in every corner
  using Chunk = std::array<std::uint64_t, kChunkPages / 64>;
  void find_chunk(std::uint64_t number);
  std::vector<std::uint64_t> numbers() const;                         // of the chunks, ascending
  std::unordered_map<std::uint64_t, std::unique_ptr<Chunk>> chunks_;  // only looked up, or walked in sorted order
  std::uint64_t last_number_ = ~0ULL;
  Chunk* last_ = nullptr;
};

class ResidentPages {
 public:
  void add(const TraceEvent& event);
  void add(const TraceRun& run);
  std::map<std::uint32_t, std::vector<VirtRange>> result();  // at the end of the trace

 private:
  // Addresses [key, end) hold what was at `origin` before the first reference.
  struct Piece {
    std::uint64_t end = 0, origin = 0;
  };
  struct Process {
    std::uint32_t root = 0;                 // the process whose pages these were before the first reference
    std::map<std::uint64_t, Piece> pieces;  // not overlapping
    PageSet touched;
    std::uint64_t heap_start = 0, heap_end = 0;
  };
  void begin();  // the first reference: what is mapped now is what was there
  void map(Process& process, std::uint64_t start, std::uint64_t end);
  void remove(Process& process, std::uint64_t start,
              std::uint64_t end);  // counts what was touched there, then forgets it
  void move(Process& process, const TraceEvent& event);
  void set_break(Process& process, std::uint64_t end);
  void remove_all(Process& process) { remove(process, 0, ~0ULL); }
  void fork(const TraceEvent& event);

  bool has_begun_ = false;
  std::map<std::uint32_t, Process> processes_;
  std::map<std::uint32_t, PageSet> resident_;
};

}  // namespace collapsar
