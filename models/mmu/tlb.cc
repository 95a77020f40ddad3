#include "models/mmu/tlb.h"

namespace collapsar {

Tlb::Tlb(const std::vector<TlbArrayConfig>& arrays, std::uint64_t seed, std::string_view name) {
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const TlbArrayConfig& array = arrays[i];
    is_split_ |= array.access != TlbAccess::any;
    arrays_.emplace_back(array.sets, array.total_ways(), array.replacement,
                         Random(seed, fmt::format("{}.{}", name, i)));
  }
  for (const bool is_store : {false, true})
    for (const PageSize size : {PageSize::k4K, PageSize::k2M, PageSize::k1G}) add_pick(arrays, size, is_store);
  if (arrays_.empty()) arrays_.emplace_back(1, 1, Replacement::lru, Random(seed, name));  // hints point into something
  hints_.resize((is_split_ ? 2 : 1) * kHints, Hint{{&arrays_.front(), 0, PageSize::k4K}});
}

void Tlb::add_pick(const std::vector<TlbArrayConfig>& arrays, PageSize size, bool is_store) {
  Pick pick{size, std::uint32_t(members_.size()), 0, 0, {}};
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const std::uint32_t ways = arrays[i].ways_for(size);
    if (!arrays[i].serves(is_store) || ways == 0) continue;
    members_.push_back({&arrays_[i], ways});
    ++pick.count, pick.sets = arrays[i].sets, pick.only = members_.back();
  }
  if (pick.count > 0) picks_[is_store].push_back(pick);
}

// Not inline: it would crowd the registers of the path of a hit.
[[gnu::noinline]] Tlb::Hit Tlb::search_and_note(VirtAddr va, Asid asid, bool is_store, Hint& hint) {
  const Hit hit = search(va, asid, is_store, hint);
  if (!hit.leaf) return hit;
  hint.page = va.value >> kPageShift | std::uint64_t{asid} << kAsidShift;
  hint.key = hint.array->key(hint.slot);
  return hit;
}

void Tlb::meet_size(PageSize size) {
  has_been_filled_[unsigned(size)] = true;
  for (const bool is_store : {false, true}) {
    used_picks_[is_store].clear();
    for (const Pick& pick : picks_[is_store])
      if (has_been_filled_[unsigned(pick.size)]) used_picks_[is_store].push_back(pick);
  }
}

void Tlb::fill(VirtAddr va, Asid asid, TlbEntry entry, bool is_store) {
  const Pick* const pick = pick_to_fill(entry.size, asid, is_store);
  if (!pick) return;
  const std::uint64_t number = va.value >> page_shift(entry.size);
  AssocCache& array = *member(*pick, number).array;
  const std::uint32_t slot = array.find(array.set_of(number), key_of(number, entry.size, asid));
  if (slot == AssocCache::kMiss) return fill_new(va, asid, entry, is_store);
  array.value(slot) = entry.leaf.bits;
  array.touch(slot);
}

bool Tlb::update(VirtAddr va, Asid asid, TlbEntry entry) {
  const std::uint64_t number = va.value >> page_shift(entry.size);
  const std::uint64_t key = key_of(number, entry.size, asid);
  bool is_found = false;
  for (AssocCache& array : arrays_) {
    const std::uint32_t slot = array.find(array.set_of(number), key);
    if (slot == AssocCache::kMiss) continue;
    array.value(slot) = entry.leaf.bits;
    is_found = true;
  }
  return is_found;
}

template <class Drop>
std::uint64_t Tlb::drop_if(Drop&& drop) {
  std::uint64_t dropped = 0;
  for (AssocCache& array : arrays_)
    for (std::uint32_t slot = 0; slot < array.slots(); ++slot)
      if (const std::uint64_t key = array.key(slot); key && drop(key)) array.erase(slot), ++dropped;
  return dropped;
}

// A few pages are looked for where they would be; more are looked for among all entries.
std::uint64_t Tlb::flush_range(Asid asid, VirtRange range) {
  if (range.pages() <= kFewPages) return flush_few(asid, range);
  return drop_if([&](std::uint64_t key) {
    const VirtAddr start = address_in(key);
    return asid_in(key) == asid && range.overlaps({start, start + page_bytes(size_in(key))});
  });
}

std::uint64_t Tlb::flush_few(Asid asid, VirtRange range) {
  std::uint64_t dropped = 0;
  for (const bool is_store : {false, true}) {
    if (is_store && !is_split_) break;  // the same arrays
    for (const Pick& pick : used_picks_[is_store]) {
      if (range.empty()) continue;
      const unsigned shift = page_shift(pick.size);
      for (std::uint64_t n = range.start.value >> shift; n <= (range.end.value - 1) >> shift; ++n) {
        AssocCache& array = *member(pick, n).array;
        const std::uint32_t slot = array.find(array.set_of(n), key_of(n, pick.size, asid));
        if (slot != AssocCache::kMiss) array.erase(slot), ++dropped;
      }
    }
  }
  return dropped;
}

std::uint64_t Tlb::flush_asid(Asid asid) {
  return drop_if([&](std::uint64_t key) { return asid_in(key) == asid; });
}

void Tlb::flush_all() {
  for (AssocCache& array : arrays_) array.clear();
}

}  // namespace collapsar
