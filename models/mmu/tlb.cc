#include "models/mmu/tlb.h"

namespace collapsar {

Tlb::Tlb(Level level, const std::vector<TlbArrayConfig>& arrays, std::uint64_t seed, std::string_view name)
    : nothing_(1, 1, Replacement::lru, Random(seed, name)) {
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const TlbArrayConfig& array = arrays[i];
    is_split_ |= array.access != TlbAccess::any;
    is_lru_ &= array.replacement == Replacement::lru;
    arrays_.emplace_back(array.sets, array.total_ways(), array.replacement,
                         Random(seed, fmt::format("{}.{}", name, i)));
  }
  for (const bool is_store : {false, true})
    for (const PageSize size : {PageSize::k4K, PageSize::k2M, PageSize::k1G}) add_pick(arrays, size, is_store);
  for (Picks& picks : used_picks_) picks.front().count = 1, picks.front().only = {&nothing_, 0};
  if (level == Level::second) return;
  counts_.resize(kCounts);
  const Hint none(nothing_.entries().data(), TlbKey::mask_of(PageSize::k4K));
  hints_.resize((is_split_ ? 2 : 1) * kHints, none);
  if (!is_lru_) no_hints_.resize(kHints, none);
  first_hint_ = {hints_.data(), hints_.data() + (is_split_ ? kHints : 0)};
}

void Tlb::add_pick(const std::vector<TlbArrayConfig>& arrays, PageSize size, bool is_store) {
  Pick& pick = picks_[is_store][unsigned(size)];
  pick.mask = TlbKey::mask_of(size), pick.size = size, pick.shift = std::uint8_t(page_shift(size)),
  pick.first = std::uint32_t(members_.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const std::uint32_t ways = arrays[i].ways_for(size);
    if (!arrays[i].serves(is_store) || ways == 0) continue;
    members_.push_back({&arrays_[i], ways});
    ++pick.count, pick.sets = arrays[i].sets, pick.only = members_.back();
  }
}

// In the sizes behind the first.
[[gnu::noinline]] Tlb::Found Tlb::find_others(VirtAddr va, Space space, bool is_store) {
  for (std::uint32_t i = 1; i < used_[is_store]; ++i) {
    const Pick& pick = used_picks_[is_store][i];
    AssocCache& array = array_of(pick, va);
    if (AssocCache::Entry* const entry = find_in(array, pick, va, space)) return {&array, entry, pick.size};
  }
  return {};
}

// Not inline: it would crowd the registers of the path of a hit.
[[gnu::noinline]] Tlb::Hit Tlb::search_and_note(VirtAddr va, Space space, bool is_store, Hint& hint) {
  return find(va, space, is_store, [&](AssocCache& array, AssocCache::Entry& entry, PageSize size) {
    hint = Hint(&entry, TlbKey::mask_of(size));
    return array.touch(entry, ++uses_), Hit{&entry, TlbKey::code_of(size)};
  });
}

void Tlb::meet_size(PageSize size) {
  has_been_filled_[unsigned(size)] = true;
  for (const bool is_store : {false, true}) {
    used_[is_store] = 0;
    for (const Pick& pick : picks_[is_store])
      if (has_been_filled_[unsigned(pick.size)] && pick.count > 0) used_picks_[is_store][used_[is_store]++] = pick;
    const bool is_one = used_[is_store] == 1 && !counts_.empty();
    counted_shift_[is_store] = is_one ? used_picks_[is_store].front().shift : std::uint8_t{0};
  }
}

void Tlb::fill(VirtAddr va, Asid asid, TlbEntry entry, bool is_store) {
  const Pick& pick = picks_[is_store][unsigned(entry.size)];
  if (pick.count == 0) return;
  if (!counts_.empty() && count(va.value >> pick.shift) == 0) return fill_new(va, asid, entry, is_store);
  AssocCache& array = array_of(pick, va);
  AssocCache::Entry* const found = find_in(array, pick, va, Space(asid));
  if (!found) return fill_new(va, asid, entry, is_store);
  found->value = entry.leaf.bits;
  array.touch(*found, ++uses_);
}

bool Tlb::update(VirtAddr va, Asid asid, TlbEntry entry) {
  const std::uint64_t number = va.value >> page_shift(entry.size);
  const std::uint64_t key = TlbKey::of(va, entry.size, Space(asid));
  bool is_found = false;
  for (AssocCache& array : arrays_) {
    AssocCache::Entry* const found = array.find(array.set_of(number), key);
    if (found) found->value = entry.leaf.bits, is_found = true;
  }
  return is_found;
}

template <class Drop>
std::uint64_t Tlb::drop_if(Drop&& drop) {
  std::uint64_t dropped = 0;
  for (AssocCache& array : arrays_)
    for (AssocCache::Entry& entry : array.entries())
      if (entry.key && drop(entry.key)) forget(array, entry), ++dropped;
  return dropped;
}

// A few pages are looked for where they would be; more are looked for among all entries.
std::uint64_t Tlb::flush_range(Asid asid, VirtRange range) {
  if (range.pages() <= kFewPages) return flush_few(asid, range);
  return drop_if([&](std::uint64_t key) {
    const VirtAddr start = TlbKey::address_in(key);
    return TlbKey::asid_in(key) == asid && range.overlaps({start, start + page_bytes(TlbKey::size_in(key))});
  });
}

std::uint64_t Tlb::flush_few(Asid asid, VirtRange range) {
  std::uint64_t dropped = 0;
  for (const bool is_store : {false, true}) {
    if (is_store && !is_split_) break;  // the same arrays
    for (std::uint32_t i = 0; i < used_[is_store] && !range.empty(); ++i) {
      const Pick& pick = used_picks_[is_store][i];
      for (std::uint64_t n = range.start.value >> pick.shift; n <= (range.end.value - 1) >> pick.shift; ++n) {
        AssocCache& array = *member(pick, n).array;
        AssocCache::Entry* const found = find_in(array, pick, {n << pick.shift}, Space(asid));
        if (found) forget(array, *found), ++dropped;
      }
    }
  }
  return dropped;
}

std::uint64_t Tlb::flush_asid(Asid asid) {
  return drop_if([&](std::uint64_t key) { return TlbKey::asid_in(key) == asid; });
}

void Tlb::flush_all() {
  for (AssocCache& array : arrays_) array.clear();
  std::fill(counts_.begin(), counts_.end(), 0);
}

}  // namespace collapsar
