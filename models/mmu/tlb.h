// Tlb: one level of translations on one side (L1I, L1D, L2): remembers so that most references skip the walk.
//
// Models:      any number of set-associative arrays, each for some page sizes and some kinds of access; arrays that
//              take the same pages act as one: the page-number bits above the set index pick the array. Address-space
//              identifiers tag every entry.
// Simplified:  no global pages; an invalidation takes no lookup slot.
// Time:        none of its own; Mmu adds the latency of the level.
// Owns:        its entries: leaf page-table entries as of their fill. Knows nothing of page tables.
// Source:      Intel SDM Vol. 3A, "Caching Translation Information".
//
// Recency changes only when this level is looked up or filled; set = page number modulo sets.
//
// Hot path: lookup() first tries the place where a neighbour table of the host saw the page last. The place counts only
// if the entry is still there, so the table changes no result; it saves the search through sizes, arrays and ways.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "models/mem/page_table.h"
#include "models/mmu/kernel_port.h"
#include "models/mmu/mmu_config.h"

namespace collapsar {

struct TlbEntry {
  Pte leaf;
  PageSize size = PageSize::k4K;
};

struct TlbStats {
  std::uint64_t hits = 0, misses = 0;
  std::array<std::uint64_t, kPageSizes> hits_by{}, misses_by{};
  template <class V>
  void describe(V& v) {
    v("hits", hits, "look-ups", "found a translation");
    v("misses", misses, "look-ups", "did not find one");
    v("hits.4k", hits_by[0], "look-ups", "found a 4 KiB translation");
    v("hits.2m", hits_by[1], "look-ups", "found a 2 MiB translation");
    v("hits.1g", hits_by[2], "look-ups", "found a 1 GiB translation");
    v("misses.4k", misses_by[0], "look-ups", "missed a page that turned out to be 4 KiB");
    v("misses.2m", misses_by[1], "look-ups", "missed a page that turned out to be 2 MiB");
    v("misses.1g", misses_by[2], "look-ups", "missed a page that turned out to be 1 GiB");
  }
};

class Tlb {
 public:
  // Requires: the arrays pass MmuConfig::validate().
  Tlb(const std::vector<TlbArrayConfig>& arrays, std::uint64_t seed, std::string_view name);
  Tlb(const Tlb&) = delete;  // hints point into it
  Tlb& operator=(const Tlb&) = delete;

  // A miss has no leaf.
  struct Hit {
    std::uint64_t* leaf = nullptr;  // bits of the entry; valid until the next fill
    PageSize size = PageSize::k4K;
  };
  // Looks `va` up and makes the entry most recent.
  Hit lookup(VirtAddr va, Asid asid, bool is_store) {
    const std::uint64_t page = va.value >> kPageShift;
    const bool side = is_store && is_split_;
    Hint& hint = hints_[page % kHints + side * kHints];
    if (hint.page == (page | std::uint64_t{asid} << kAsidShift) && hint.array->holds(hint.slot, hint.key)) [[likely]] {
      hint.array->touch(hint.slot);
      return {&hint.array->value(hint.slot), hint.size};
    }
    return search_and_note(va, asid, is_store, hint);
  }
  // The same without the table of hints, for a level with more pages than it could hold.
  Hit search(VirtAddr va, Asid asid, bool is_store) {
    Place place;
    return search(va, asid, is_store, place);
  }
  // The same without a trace: recency stays as it is.
  Hit peek(VirtAddr va, Asid asid, bool is_store) {
    const Place place = find(va, asid, is_store);
    if (!place.array) return {};
    return {&place.array->value(place.slot), place.size};
  }
  // Puts a translation in (or renews it) and makes it most recent. `is_store` picks the array where they are split. A
  // size that no array takes is not kept.
  void fill(VirtAddr va, Asid asid, TlbEntry entry, bool is_store);
  // The same for a translation that is not there.
  void fill_new(VirtAddr va, Asid asid, TlbEntry entry, bool is_store) {
    const Pick* const pick = pick_to_fill(entry.size, asid, is_store);
    if (!pick) return;
    const std::uint64_t number = va.value >> page_shift(entry.size);
    const Member& to = member(*pick, number);
    to.array->insert(to.array->set_of(number), key_of(number, entry.size, asid), entry.leaf.bits, to.ways);
  }
  // Replaces the leaf bits of an entry that is there, without a change of recency (a dirty bit was set). False: it is
  // not there.
  bool update(VirtAddr va, Asid asid, TlbEntry entry);
  bool takes(PageSize size, bool is_store) const { return pick_of(size, is_store) != nullptr; }

  // Each returns how many entries went.
  std::uint64_t flush_range(Asid asid, VirtRange range);
  std::uint64_t flush_asid(Asid asid);
  void flush_all();
  // Calls f(Asid, VirtAddr, TlbEntry) for every entry, array by array.
  template <class F>
  void for_each(F&& f);

 private:
  static constexpr unsigned kAsidShift = 48;
  static constexpr std::size_t kHints = 256;  // 8 KiB: with the entries, still a small part of the host's L1 cache
  struct Place {
    AssocCache* array = nullptr;
    std::uint32_t slot = 0;
    PageSize size = PageSize::k4K;
  };
  struct Hint : Place {
    std::uint64_t page = ~0ULL;  // number of the 4 KiB page, and the address space
    std::uint64_t key = 0;
  };

  // Page number (at most 44 bits of user space), page size and address space in one word that is never 0.
  static std::uint64_t key_of(std::uint64_t number, PageSize size, Asid asid) {
    return std::uint64_t{asid} << kAsidShift | number << 2 | (unsigned(size) + 1);
  }
  static Asid asid_in(std::uint64_t key) { return Asid(key >> kAsidShift); }
  static PageSize size_in(std::uint64_t key) { return PageSize((key & 3) - 1); }
  static VirtAddr address_in(std::uint64_t key) {
    return {((key & ((1ULL << kAsidShift) - 1)) >> 2) << page_shift(size_in(key))};
  }

  // Where a page size of one kind of access lives: `count` arrays, told apart by the bits above the set index.
  struct Member {
    AssocCache* array;
    std::uint32_t ways;  // that the size may use
  };
  struct Pick {
    PageSize size;
    std::uint32_t first;  // into members_
    std::uint32_t count;
    std::uint32_t sets;
    Member only;  // if there is but one
  };
  const Member& member(const Pick& pick, std::uint64_t number) const {
    if (pick.count == 1) [[likely]]
      return pick.only;
    return members_[pick.first + number / pick.sets % pick.count];
  }
  void add_pick(const std::vector<TlbArrayConfig>& arrays, PageSize size, bool is_store);
  const Pick* pick_of(PageSize size, bool is_store) const {
    for (const Pick& pick : picks_[is_store])
      if (pick.size == size) return &pick;
    return nullptr;
  }
  // nullptr: no array takes it.
  const Pick* pick_to_fill(PageSize size, Asid asid, bool is_store) {
    const Pick* const pick = pick_of(size, is_store);
    SIM_ASSERT(asid < 1U << (64 - kAsidShift), "address space {} has no tag", asid);
    if (pick && !has_been_filled_[unsigned(size)]) [[unlikely]]
      meet_size(size);
    return pick;
  }
  void meet_size(PageSize size);
  // No array: it is not there.
  [[gnu::always_inline]] inline Place find(VirtAddr va, Asid asid, bool is_store) {
    for (const Pick& pick : used_picks_[is_store]) {
      const std::uint64_t number = va.value >> page_shift(pick.size);
      AssocCache& array = *member(pick, number).array;
      const std::uint32_t slot = array.find(array.set_of(number), key_of(number, pick.size, asid));
      if (slot != AssocCache::kMiss) return {&array, slot, pick.size};
    }
    return {};
  }
  Hit search(VirtAddr va, Asid asid, bool is_store, Place& place) {
    const Place found = find(va, asid, is_store);
    if (!found.array) return {};
    found.array->touch(found.slot);
    place = found;
    return {&found.array->value(found.slot), found.size};
  }
  Hit search_and_note(VirtAddr va, Asid asid, bool is_store, Hint& hint);
  static constexpr std::uint64_t kFewPages = 64;  // ours: 64 searches cost less than a pass over 1,536 entries
  template <class Drop>
  std::uint64_t drop_if(Drop&& drop);
  std::uint64_t flush_few(Asid asid, VirtRange range);

  std::vector<Hint> hints_;
  bool is_split_ = false;  // loads and stores have arrays of their own
  std::vector<AssocCache> arrays_;
  std::vector<Member> members_;
  std::array<std::vector<Pick>, 2> picks_;  // [is_store], in order of page size
  std::array<bool, kPageSizes> has_been_filled_{};
  std::array<std::vector<Pick>, 2> used_picks_;  // of those sizes: one never seen costs no look-up
};

template <class F>
void Tlb::for_each(F&& f) {
  for (AssocCache& array : arrays_)
    for (std::uint32_t slot = 0; slot < array.slots(); ++slot)
      if (const std::uint64_t key = array.key(slot))
        f(asid_in(key), address_in(key), TlbEntry{Pte{array.value(slot)}, size_in(key)});
}

}  // namespace collapsar
