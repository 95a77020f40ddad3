// PhysicalMemory::check: all frames against all lists.
#include "models/mem/physical_memory.h"
#include "sim/core/error.h"

namespace collapsar {

// The pass over all frames meets each block once; the pass over the lists meets as many: so each is on exactly one
// list.
std::uint64_t PhysicalMemory::check() const {
  std::array<std::array<std::uint64_t, kMigrateTypes>, kMaxOrder + 1> seen{};
  for (Pfn p{0}; p.value < next_virgin_;) p += check_block(p, seen);
  const std::uint64_t free = check_lists() + total_pages_ - next_virgin_;
  for (unsigned n = 0; n <= kMaxOrder; ++n)
    for (unsigned t = 0; t < kMigrateTypes; ++t)
      SIM_ASSERT(seen[n][t] == lists_[n][t].blocks, "{} free blocks of order {} and type {}, but {} on the list",
                 seen[n][t], n, t, lists_[n][t].blocks);
  SIM_ASSERT(free == free_pages_, "{} free pages found, {} counted", free, free_pages_);
  return free;
}

// Returns the block's pages.
std::uint64_t PhysicalMemory::check_block(
    Pfn block, std::array<std::array<std::uint64_t, kMigrateTypes>, kMaxOrder + 1>& seen) const {
  const Frame& first = frame(block);
  const std::uint64_t pages = pages_of(first.order);
  SIM_ASSERT(block.value % pages == 0 && block.value + pages <= next_virgin_, "block {:#x} of order {} stands askew",
             block.value, unsigned(first.order));
  for (Pfn p = block; p < block + pages; ++p) {
    const bool tail = first.is(Frame::kHead) && p != block;
    SIM_ASSERT(frame(p).use == first.use && frame(p).is(Frame::kTail) == tail,
               "frame {:#x} differs from its block {:#x}", p.value, block.value);
  }
  if (first.used_as() == FrameUse::free) ++seen[first.order][std::size_t(pageblock_type(block))];
  return pages;
}

std::uint64_t PhysicalMemory::check_lists() const {
  std::uint64_t free = 0;
  for (unsigned n = 0; n <= kMaxOrder; ++n) {
    for (unsigned t = 0; t < kMigrateTypes; ++t) {
      std::uint64_t blocks = 0;
      std::uint32_t before = Frame::kNone;
      for (std::uint32_t at = lists_[n][t].head; at != Frame::kNone; before = at, at = frames_[at].lru_next, ++blocks) {
        const bool in_place = is_free_block(Pfn{at}, n) && std::size_t(pageblock_type(Pfn{at})) == t;
        SIM_ASSERT(in_place && frames_[at].lru_prev == before && blocks < lists_[n][t].blocks,
                   "frame {:#x} is wrong on the list of order {} and type {}", at, n, t);
      }
      SIM_ASSERT(blocks == lists_[n][t].blocks, "{} blocks on the list of order {} and type {}, {} counted", blocks, n,
                 t, lists_[n][t].blocks);
      SIM_ASSERT((blocks > 0) == bool(orders_present_[t] >> n & 1), "bit of order {} and type {} is wrong", n, t);
      free += blocks << n;
    }
  }
  return free;
}

}  // namespace collapsar
