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
// page is not there. Neither changes a result; they save the search through sizes, arrays and ways. A Shortcut is the first
// of these steps alone.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "models/mem/page_table.h"
#include "models/mmu/kernel_port.h"
#include "models/mmu/mmu_config.h"
#include "models/mmu/tlb_key.h"

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
  using Space = TlbKey::Space;
  enum class Level : std::uint8_t { first, second };
  // Requires: the arrays pass MmuConfig::validate().
  Tlb(Level level, const std::vector<TlbArrayConfig>& arrays, std::uint64_t seed, std::string_view name);
  Tlb(const Tlb&) = delete;  // hints point into it
  Tlb& operator=(const Tlb&) = delete;

  struct Hit {
    const AssocCache::Entry* entry = nullptr;  // nullptr: a miss; valid until the next fill
    std::uint64_t size_code = 0;               // TlbKey::code_of() of its size
    explicit operator bool() const { return entry != nullptr; }
    Pte leaf() const { return Pte{entry->value}; }
    PageSize size() const { return TlbKey::size_of(size_code); }
    TlbEntry content() const { return {leaf(), size()}; }
  };
  // Looks `va` up and makes the entry most recent.
  Hit search(VirtAddr va, Space space, bool is_store) {
    return find(va, space, is_store, [this](AssocCache& array, AssocCache::Entry& entry, PageSize size) {
      return array.touch(entry, ++uses_), Hit{&entry, TlbKey::code_of(size)};
    });
  }
  // The same, mostly without a search. Requires: this is a first level.
  Hit lookup(VirtAddr va, Space space, bool is_store) {
    Hint& hint = hint_of(va, is_store);
    if (hint.entry->key == TlbKey::of(va, hint.mask, space)) [[likely]]
      return use(va, hint, is_store);
    const unsigned shift = counted_shift_[is_store];
    if (shift != 0 && count(va.value >> shift) == 0) return {};
    return search_and_note(va, space, is_store, hint);
  }

  // Only the first of these steps, for who keeps the way to it: misses what a search would find, and everything where a use is
  // more than a time. Requires: this is a first level.
  class Shortcut;
  Shortcut shortcut(bool is_store);

  // Puts a translation in (or renews it) and makes it most recent. `is_store` picks the array where they are split. A
  // size that no array takes is not kept.
  void fill(VirtAddr va, Asid asid, TlbEntry entry, bool is_store);
  // The same for a translation that is not there.
  [[gnu::always_inline]] void fill_new(VirtAddr va, Asid asid, TlbEntry entry, bool is_store) {
    put(va, TlbKey::of(va, entry.size, Space(asid)), entry, is_store);
  }
  // The same for what another level has.
  [[gnu::always_inline]] void copy(VirtAddr va, const Hit& from, bool is_store) {
    put(va, from.entry->key, from.content(), is_store);
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
  // With the entries of a first level, still a small part of the host's L1 cache: 4 KiB each. What a second level
  // needs of either is larger, and costs more misses of the host than it saves searches.
  static constexpr std::uint32_t kHints = 256, kCounts = 1024;
  // Where a page was last seen, and how large it was.
  struct Hint {
    Hint() = default;
    Hint(AssocCache::Entry* e, std::uint64_t mask_of_size) : entry(e), mask(mask_of_size) {}
    AssocCache::Entry* entry = nullptr;  // there is always one, if of no page
    std::uint64_t mask = 0;              // TlbKey::mask_of() of the size
  };
  static Hint& hint_in(Hint* hints, VirtAddr va) { return hints[va.value / kPageBytes % kHints]; }
  Hint& hint_of(VirtAddr va, bool is_store) { return hint_in(first_hint_[is_store], va); }
  // How many entries have the low bits of this page number.
  std::uint32_t& count(std::uint64_t number) { return counts_[number % kCounts]; }
  std::uint32_t& count_of(std::uint64_t key) {
    return count(TlbKey::address_in(key).value >> page_shift(TlbKey::size_in(key)));
  }
  Hit use(VirtAddr va, const Hint& hint, bool is_store) {
    ++uses_;
    if (is_lru_) [[likely]]
      hint.entry->last_use = uses_;
    else array_of(picks_[is_store][unsigned(TlbKey::size_in(hint.mask))], va).touch(*hint.entry, uses_);
    return {hint.entry, hint.mask & TlbKey::kSizeMask};
  }

  // Where a page size of one kind of access lives: `count` arrays, told apart by the bits above the set index.
  struct Member {
    AssocCache* array;
    std::uint32_t ways;  // that the size may use
  };
  struct Pick {
    std::uint64_t mask = TlbKey::mask_of(PageSize::k4K);  // of the size
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
    const auto [slot, evicted] = to.array->insert(to.array->set_of(number), key, entry.leaf.bits, to.ways, ++uses_);
    if (counts_.empty()) return;
    hint_of(va, is_store) = {slot, pick.mask};
    ++count(number);
    if (evicted) --count_of(evicted);
  }
  void add_pick(const std::vector<TlbArrayConfig>& arrays, PageSize size, bool is_store);
  void meet_size(PageSize size);
  // Requires: pick.count > 0.
  [[gnu::always_inline]] AssocCache& array_of(const Pick& pick, VirtAddr va) const {
    return *member(pick, va.value >> pick.shift).array;
  }
  [[gnu::always_inline]] static AssocCache::Entry* find_in(AssocCache& array, const Pick& pick, VirtAddr va,
                                                           Space space) {
    return array.find(array.set_of(va.value >> pick.shift), TlbKey::of(va, pick.mask, space));
  }
  struct Found {
    AssocCache* array = nullptr;
    AssocCache::Entry* entry = nullptr;  // nullptr: it is not there
    PageSize size = PageSize::k4K;
  };
  // What f(array, entry, size) makes of the entry, if there is one. Its parts go from hand to hand: put together as a Found,
  // they are written piece by piece and read as one, for which the host waits.
  template <class F>
  [[gnu::always_inline]] Hit find(VirtAddr va, Space space, bool is_store, F&& f) {
    const Pick& first = used_picks_[is_store].front();
    AssocCache& array = array_of(first, va);
    if (AssocCache::Entry* const entry = find_in(array, first, va, space)) [[likely]]
      return f(array, *entry, first.size);
    if (used_[is_store] <= 1) [[likely]]
      return {};
    const Found other = find_others(va, space, is_store);
    return other.entry ? f(*other.array, *other.entry, other.size) : Hit{};
  }
  Found find_others(VirtAddr va, Space space, bool is_store);
  Hit search_and_note(VirtAddr va, Space space, bool is_store, Hint& hint);
  void forget(AssocCache& array, AssocCache::Entry& entry) {
    if (!counts_.empty()) --count_of(entry.key);
    array.erase(entry);
  }
  static constexpr std::uint64_t kFewPages = 64;  // ours: 64 searches cost less than a pass over 1,536 entries
  template <class Drop>
  std::uint64_t drop_if(Drop&& drop);
  std::uint64_t flush_few(Asid asid, VirtRange range);

  AssocCache nothing_;                           // where no size goes, of one entry of no page
  std::vector<Hint> hints_;                      // first level: by 4 KiB page, loads before stores where they are split
  std::vector<Hint> no_hints_;                   // of a shortcut that finds nothing
  std::array<Hint*, 2> first_hint_{};            // [is_store]
  std::uint64_t uses_ = 0;                       // look-ups that hit, and fills, of all arrays
  bool is_lru_ = true;                           // all of them
  bool is_split_ = false;                        // loads and stores have arrays of their own
  std::vector<std::uint32_t> counts_;            // first level
  std::array<std::uint8_t, 2> counted_shift_{};  // [is_store] page_shift() of all entries there, if they have one size
  std::vector<AssocCache> arrays_;
  std::vector<Member> members_;
  std::array<Picks, 2> picks_{};  // [is_store], by page size
  std::array<bool, kPageSizes> has_been_filled_{};
  // [is_store] Of those sizes, in order: one never seen costs no look-up. The first is always there to search.
  std::array<Picks, 2> used_picks_{};
  std::array<std::uint32_t, 2> used_{};  // how many they are
};

// Small enough to be kept for every kind of reference.
class Tlb::Shortcut {
 public:
  Shortcut() = default;
  Hit lookup(VirtAddr va, Space space) const {
    const Hint& hint = hint_in(hints_, va);
    const std::uint64_t key = TlbKey::of(va, hint.mask, space);
    if (hint.entry->key != key) [[unlikely]]
      return {};
    hint.entry->last_use = ++*uses_;
    return {hint.entry, key & TlbKey::kSizeMask};
  }

 private:
  friend class Tlb;
  Shortcut(Hint* hints, std::uint64_t* uses) : hints_(hints), uses_(uses) {}
  Hint* hints_ = nullptr;
  std::uint64_t* uses_ = nullptr;
};
inline Tlb::Shortcut Tlb::shortcut(bool is_store) {
  return Shortcut(is_lru_ ? first_hint_[is_store] : no_hints_.data(), &uses_);
}

template <class F>
void Tlb::for_each(F&& f) {
  for (AssocCache& array : arrays_)
    for (const AssocCache::Entry& entry : array.entries())
      if (entry.key)
        f(TlbKey::asid_in(entry.key), TlbKey::address_in(entry.key),
          TlbEntry{Pte{entry.value}, TlbKey::size_in(entry.key)});
}

}  // namespace collapsar
