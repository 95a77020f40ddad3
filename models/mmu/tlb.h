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
// Hot path: lookup() first tries the place where a table of hints saw the page last, which counts only if the entry is
// still there; then it asks how many entries there are with these low bits in their page numbers: mostly none, where the
// page is not there. Neither changes a result; they save the search through sizes, arrays and ways.
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
  static constexpr Asid kMostAsids = 1U << 16;  // that a key has room for
  enum class Level : std::uint8_t { first, second };
  // Requires: the arrays pass MmuConfig::validate().
  Tlb(Level level, const std::vector<TlbArrayConfig>& arrays, std::uint64_t seed, std::string_view name);
  Tlb(const Tlb&) = delete;  // hints point into it
  Tlb& operator=(const Tlb&) = delete;

  // An address space as it stands in the keys of entries.
  struct Space {
    Space() = default;
    explicit Space(Asid asid) : bits(std::uint64_t{asid} << kAsidShift) {}  // Requires: asid < kMostAsids.
    std::uint64_t bits = 0;
  };
  struct Hit {
    const AssocCache::Entry* entry = nullptr;  // nullptr: a miss; valid until the next fill
    PageSize size = PageSize::k4K;
    explicit operator bool() const { return entry != nullptr; }
    Pte leaf() const { return Pte{entry->value}; }
  };
  // Looks `va` up and makes the entry most recent.
  Hit search(VirtAddr va, Asid asid, bool is_store) {
    return find(va, asid, is_store, [](AssocCache& array, AssocCache::Entry& entry, PageSize size) {
      return array.touch(entry), Hit{&entry, size};
    });
  }
  // The same, mostly without a search. Requires: this is a first level.
  Hit lookup(VirtAddr va, Space space, bool is_store) {
    Found& hint = hint_of(va, is_store);
    const std::uint64_t key = key_of(va.value >> page_shift(hint.size), hint.size) | space.bits;
    if (hint.entry->key == key) [[likely]]
      return use(hint);
    if (hint.size == counted_size_[is_store] && count(key) == 0) return {};
    return search_and_note(va, asid_in(key), is_store, hint);
  }
  // Puts a translation in (or renews it) and makes it most recent. `is_store` picks the array where they are split. A
  // size that no array takes is not kept.
  void fill(VirtAddr va, Asid asid, TlbEntry entry, bool is_store);
  // The same for a translation that is not there.
  [[gnu::always_inline]] void fill_new(VirtAddr va, Asid asid, TlbEntry entry, bool is_store) {
    put(va, key_of(va.value >> page_shift(entry.size), entry.size, asid), entry, is_store);
  }
  // The same for what another level has.
  [[gnu::always_inline]] void copy(VirtAddr va, const Hit& from, bool is_store) {
    put(va, from.entry->key, {from.leaf(), from.size}, is_store);
  }
  // Replaces the leaf bits of an entry that is there, without a change of recency (a dirty bit was set). False: it is
  // not there.
  bool update(VirtAddr va, Asid asid, TlbEntry entry);
  bool takes(PageSize size, bool is_store) const { return picks_[is_store][unsigned(size)].count > 0; }

  // Each returns how many entries went.
  std::uint64_t flush_range(Asid asid, VirtRange range);
  std::uint64_t flush_asid(Asid asid);
  void flush_all();
  // Calls f(Asid, VirtAddr, TlbEntry) for every entry, array by array.
  template <class F>
  void for_each(F&& f);

 private:
  static constexpr unsigned kAsidShift = 48, kSizeBits = 2;  // of a key
  // With the entries of a first level, still a small part of the host's L1 cache: 6 KiB and 4 KiB. What a second level
  // needs of either is larger, and costs more misses of the host than it saves searches.
  static constexpr std::uint32_t kHints = 256, kCounts = 1024;
  static constexpr PageSize kNoSize{kPageSizes};
  struct Found {
    AssocCache* array = nullptr;
    AssocCache::Entry* entry = nullptr;  // nullptr: it is not there
    PageSize size = PageSize::k4K;
  };
  Found& hint_of(VirtAddr va, bool is_store) { return first_hint_[is_store][va.value / kPageBytes % kHints]; }
  // How many entries have the low bits of this page number.
  std::uint32_t& count(std::uint64_t key) { return counts_[key >> kSizeBits & (kCounts - 1)]; }
  static Hit use(const Found& found) { return found.array->touch(*found.entry), Hit{found.entry, found.size}; }

  // Page number (at most 44 bits of user space), page size and address space in one word that is never 0.
  static std::uint64_t key_of(std::uint64_t number, PageSize size) {
    return number << kSizeBits | (unsigned(size) + 1);
  }
  static std::uint64_t key_of(std::uint64_t number, PageSize size, Asid asid) {
    return Space(asid).bits | key_of(number, size);
  }
  static Asid asid_in(std::uint64_t key) { return Asid(key >> kAsidShift); }
  static PageSize size_in(std::uint64_t key) { return PageSize((key & ((1U << kSizeBits) - 1)) - 1); }
  static VirtAddr address_in(std::uint64_t key) {
    return {((key & ((1ULL << kAsidShift) - 1)) >> kSizeBits) << page_shift(size_in(key))};
  }

  // Where a page size of one kind of access lives: `count` arrays, told apart by the bits above the set index.
  struct Member {
    AssocCache* array;
    std::uint32_t ways;  // that the size may use
  };
  struct Pick {
    PageSize size = PageSize::k4K;
    std::uint8_t shift = 0;   // of an address, to a page number
    std::uint32_t count = 0;  // 0: nowhere
    std::uint32_t sets = 0;
    std::uint32_t first = 0;  // into members_
    Member only{};            // if there is but one
  };
  using Picks = std::array<Pick, kPageSizes>;
  const Member& member(const Pick& pick, std::uint64_t number) const {
    if (pick.count == 1) [[likely]]
      return pick.only;
    return members_[pick.first + number / pick.sets % pick.count];
  }
  // `key`: of the entry at `va`, which is not there.
  [[gnu::always_inline]] void put(VirtAddr va, std::uint64_t key, TlbEntry entry, bool is_store) {
    if (!has_been_filled_[unsigned(entry.size)]) [[unlikely]]
      meet_size(entry.size);
    const Pick& pick = picks_[is_store][unsigned(entry.size)];
    if (pick.count == 0) return;
    const std::uint64_t number = va.value >> pick.shift;
    const Member& to = member(pick, number);
    const auto [slot, evicted] = to.array->insert(to.array->set_of(number), key, entry.leaf.bits, to.ways);
    if (counts_.empty()) return;
    hint_of(va, is_store) = {to.array, slot, entry.size};
    ++count(key);
    if (evicted) --count(evicted);
  }
  void add_pick(const std::vector<TlbArrayConfig>& arrays, PageSize size, bool is_store);
  void meet_size(PageSize size);
  // Requires: pick.count > 0.
  [[gnu::always_inline]] AssocCache& array_of(const Pick& pick, VirtAddr va) const {
    return *member(pick, va.value >> pick.shift).array;
  }
  [[gnu::always_inline]] static AssocCache::Entry* find_in(AssocCache& array, const Pick& pick, VirtAddr va,
                                                           Asid asid) {
    const std::uint64_t number = va.value >> pick.shift;
    return array.find(array.set_of(number), key_of(number, pick.size, asid));
  }
  // What f(array, entry, size) makes of the entry, if there is one. Its parts go from hand to hand: put together as a Found,
  // they are written piece by piece and read as one, for which the host waits.
  template <class F>
  [[gnu::always_inline]] Hit find(VirtAddr va, Asid asid, bool is_store, F&& f) {
    const Pick& first = used_picks_[is_store].front();
    AssocCache& array = array_of(first, va);
    if (AssocCache::Entry* const entry = find_in(array, first, va, asid)) [[likely]]
      return f(array, *entry, first.size);
    if (used_[is_store] <= 1) [[likely]]
      return {};
    const Found other = find_others(va, asid, is_store);
    return other.entry ? f(*other.array, *other.entry, other.size) : Hit{};
  }
  Found find_others(VirtAddr va, Asid asid, bool is_store);
  Hit search_and_note(VirtAddr va, Asid asid, bool is_store, Found& hint);
  void forget(AssocCache& array, AssocCache::Entry& entry) {
    if (!counts_.empty()) --count(entry.key);
    array.erase(entry);
  }
  static constexpr std::uint64_t kFewPages = 64;  // ours: 64 searches cost less than a pass over 1,536 entries
  template <class Drop>
  std::uint64_t drop_if(Drop&& drop);
  std::uint64_t flush_few(Asid asid, VirtRange range);

  AssocCache nothing_;                  // where no size goes, of one entry of no page
  std::vector<Found> hints_;            // first level: by 4 KiB page, loads before stores where they are split
  std::array<Found*, 2> first_hint_{};  // [is_store]
  std::vector<std::uint32_t> counts_;   // first level
  std::array<PageSize, 2> counted_size_{kNoSize, kNoSize};  // [is_store] of all entries there, if it is one
  bool is_split_ = false;                                   // loads and stores have arrays of their own
  std::vector<AssocCache> arrays_;
  std::vector<Member> members_;
  std::array<Picks, 2> picks_{};  // [is_store], by page size
  std::array<bool, kPageSizes> has_been_filled_{};
  // [is_store] Of those sizes, in order: one never seen costs no look-up. The first is always there to search.
  std::array<Picks, 2> used_picks_{};
  std::array<std::uint32_t, 2> used_{};  // how many they are
};

template <class F>
void Tlb::for_each(F&& f) {
  for (AssocCache& array : arrays_)
    for (const AssocCache::Entry& entry : array.entries())
      if (entry.key) f(asid_in(entry.key), address_in(entry.key), TlbEntry{Pte{entry.value}, size_in(entry.key)});
}

}  // namespace collapsar
