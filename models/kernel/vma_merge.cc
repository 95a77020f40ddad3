// AddressSpace: which VMAs merge. Linux mm/mmap.c (6.1), mm/vma.c (6.12): vma_merge, can_vma_merge_before and _after.
#include "models/kernel/address_space.h"

namespace collapsar {

namespace {

// list_is_singular(&vma->anon_vma_chain): not for a VMA without pages, nor for one that came by a fork.
bool has_one_anon_vma(const Vma& vma) { return vma.own_anon_vma != 0 && !vma.shares_anon_vmas; }

// is_mergeable_anon_vma: `taker` takes the other in; nullptr: two takers that become one.
bool anon_vmas_merge(AnonVmaId a, AnonVmaId b, const Vma* taker) {
  if ((a == 0 || b == 0) && (!taker || has_one_anon_vma(*taker))) return true;
  return a == b;
}

std::uint64_t end_pgoff(const Vma& vma) { return vma.pgoff + vma.range.pages(); }

}  // namespace

// Mappings that the kernel tells apart by name only (as PR_SET_VMA_ANON_NAME does) stay apart, so that a report may.
bool AddressSpace::merges_names(const Vma& low, const Vma& high) const {
  if (low.mapping == high.mapping || low.mapping == kUnnamed || high.mapping == kUnnamed) return true;
  const auto is_automatic = [&](MappingId id) { return mappings_[id].name.starts_with("anon-"); };
  return is_automatic(low.mapping) && is_automatic(high.mapping);
}

// is_mergeable_vma, and the page offsets fit.
bool AddressSpace::is_continued(const Vma& low, const Vma& high) const {
  return low.range.end == high.range.start && low.flags == high.flags && low.file == high.file &&
         low.page == high.page && end_pgoff(low) == high.pgoff && merges_names(low, high);
}

// Each neighbour must fit the part; both take it in only if they fit each other too, else the lower one does.
AddressSpace::Neighbours AddressSpace::mergeable(const Vma& part, Vma* low, Vma* high) const {
  const bool with_low = low && is_continued(*low, part) && anon_vmas_merge(part.own_anon_vma, low->own_anon_vma, low);
  const bool with_high =
      high && is_continued(part, *high) && anon_vmas_merge(part.own_anon_vma, high->own_anon_vma, high);
  const bool with_both =
      with_low && with_high && anon_vmas_merge(low->own_anon_vma, high->own_anon_vma, /*taker=*/nullptr);
  return {with_low ? low : nullptr, with_high && (with_both || !with_low) ? high : nullptr};
}

// A mapping that did not exist before. brk only grows what is below; mmap_region() of 6.1 asks the upper neighbour first,
// and the lower one must fit what that has made of it.
AddressSpace::Neighbours AddressSpace::mergeable_with_new(const Vma& part, Vma* low, Vma* high, Adding how) const {
  if (how == Adding::brk) return mergeable(part, low, nullptr);
  if (how == Adding::copy || !kernel_.rules.mmap_merges_up_first) return mergeable(part, low, high);
  Neighbours found = mergeable(part, nullptr, high);
  Vma grown = part;
  if (found.high) grown.own_anon_vma = found.high->own_anon_vma;
  found.low = mergeable(grown, low, nullptr).low;
  return found;
}

// The two VMAs that meet at `border` become one. Returns it.
Vma* AddressSpace::merge(VirtAddr border) {
  const auto high = vmas_.find(border.value);
  SIM_ASSERT(high != vmas_.end() && high != vmas_.begin(), "no VMAs meet at {:#x}", border.value);
  SIM_ASSERT(high->second.fault_readers == 0, "the VMA at {:#x} is merged away under a fault", border.value);
  Vma& low = std::prev(high)->second;
  low.range.end = high->second.range.end;
  if (low.own_anon_vma == 0) {
    low.anon_vma = high->second.anon_vma;
    low.own_anon_vma = high->second.own_anon_vma;
    low.shares_anon_vmas = high->second.shares_anon_vmas;
  }
  if (low.mapping == kUnnamed) low.mapping = high->second.mapping;
  vmas_.erase(high);
  return &low;
}

Vma* AddressSpace::add(const Vma& vma, bool* merged, Adding how) {
  const auto next = vmas_.lower_bound(vma.range.start.value);
  Vma* const low = next == vmas_.begin() ? nullptr : &std::prev(next)->second;
  Vma* const high = next == vmas_.end() ? nullptr : &next->second;
  const Neighbours with = mergeable_with_new(vma, low, high, how);
  Vma named = vma;
  if (named.mapping == kUnnamed && with.low) named.mapping = with.low->mapping;
  else if (named.mapping == kUnnamed && with.high) named.mapping = with.high->mapping;
  const VirtAddr start = vma.range.start, end = vma.range.end;
  Vma* added = insert(named);
  if (with.high) added = merge(end);
  if (with.low) added = merge(start);
  if (merged) *merged = with.low || with.high;
  return added;
}

AddressSpace::Changed AddressSpace::change_flags(Vma& vma, VirtRange part, std::uint32_t flags) {
  split_at(part);
  const auto it = vmas_.find(part.start.value);
  Vma& changed = it->second;
  SIM_ASSERT(changed.range.end == part.end, "the VMA at {:#x} is changed beyond its end", vma.range.start.value);
  changed.flags = flags;
  Vma* const low = it == vmas_.begin() ? nullptr : &std::prev(it)->second;
  Vma* const high = std::next(it) == vmas_.end() ? nullptr : &std::next(it)->second;
  const Neighbours with = mergeable(changed, low, high);
  Vma* result = &changed;
  if (with.high) result = merge(part.end);
  if (with.low) result = merge(part.start);
  return {result, with.low || with.high};
}

}  // namespace collapsar
