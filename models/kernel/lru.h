// Lru: the active and inactive lists of anonymous and of file pages.
//
// Models:      four lists through Frame::lru_prev/lru_next; the head is the most recent end, the tail the next to go.
// Time:        none.
// Owns:        the lists; the links are in Frame.
// Source:      Linux mm/swap.c, include/linux/mm_inline.h as documented.
//
// Invariants:
//  1. kLru is set iff the frame is linked. Which list: is_file() or not, kActive or not; so kActive changes only here.
//  2. Of a compound page only the head is linked, and counts as 512 pages.
#pragma once

#include <array>

#include "models/mem/physical_memory.h"

namespace collapsar {

class Lru {
 public:
  enum class Kind : std::uint8_t { anon, file };
  explicit Lru(PhysicalMemory& memory) : memory_(memory) {}

  void add_head(Pfn pfn, bool active);
  void add_tail(Pfn pfn, bool active);
  void remove(Pfn pfn);  // Requires: kLru
  void move_to_head(Pfn pfn, bool active) { remove(pfn), add_head(pfn, active); }
  void move_to_tail(Pfn pfn, bool active) { remove(pfn), add_tail(pfn, active); }

  // The page that goes next; kNoPfn: the list is empty.
  Pfn tail(Kind kind, bool active) const;
  std::uint64_t pages(Kind kind, bool active) const { return list(kind, active).pages; }
  std::uint64_t pages(Kind kind) const { return pages(kind, false) + pages(kind, true); }
  std::uint64_t pages() const { return pages(Kind::anon) + pages(Kind::file); }
  std::uint64_t entries() const;  // a huge page is one entry
  Kind kind_of(Pfn pfn) const { return is_file(memory_.frame(pfn)) ? Kind::file : Kind::anon; }
  // folio_is_file_lru: shared memory goes to swap, so it stands with anonymous memory.
  static bool is_file(const Frame& f) { return f.used_as() == FrameUse::file && !f.is(Frame::kSwapBacked); }
  std::uint64_t pages_of(Pfn pfn) const { return memory_.frame(pfn).is(Frame::kHead) ? kHugePages : 1; }

 private:
  struct List {
    std::uint32_t head = Frame::kNone, tail = Frame::kNone;
    std::uint64_t pages = 0, entries = 0;
  };
  List& list(Kind kind, bool active) { return lists_[std::size_t(kind)][active]; }
  const List& list(Kind kind, bool active) const { return lists_[std::size_t(kind)][active]; }
  List& enter(Pfn pfn, bool active);

  PhysicalMemory& memory_;
  std::array<std::array<List, 2>, 2> lists_;
};

}  // namespace collapsar
