#include "sim/run/walk_account.h"

namespace collapsar {

const WalkAccount::Ranges* WalkAccount::ranges_of(Asid asid) const {
  return asid < spaces_.size() ? &spaces_[asid].ranges : nullptr;
}

WalkCount WalkAccount::of_mapping(Asid asid, MappingId mapping) const {
  if (asid >= spaces_.size() || mapping >= spaces_[asid].by_mapping.size()) return {};
  WalkCount count = spaces_[asid].by_mapping[mapping];
  if (asid == tally_.asid && mapping == tally_mapping_)
    count.l1_misses += tally_.l1_misses, count.l2_misses += tally_.l2_misses;
  return count;
}

void WalkAccount::begin_tally(Asid asid, VirtAddr va) {
  if (tally_mapping_ != kUnnamed) {
    WalkCount& count = spaces_[tally_.asid].by_mapping[tally_mapping_];
    count.l1_misses += tally_.l1_misses, count.l2_misses += tally_.l2_misses;
  }
  Space& space = space_of(asid);
  tally_mapping_ = mapping_at(space, va);
  tally_ = {asid, space.last_vma, &scheduler_.stats().events, space.last_events, 0, 0};
}

void WalkAccount::forget_ranges() {
  for (Space& space : spaces_) space.ranges.clear();
}

// --- a range changes; nothing to split off while it has no walks ---

WalkAccount::RangeWalks* WalkAccount::known(Asid asid, VirtAddr base) {
  if (asid >= spaces_.size()) return nullptr;
  const auto range = spaces_[asid].ranges.find(base.value / kHugeBytes);
  return range == spaces_[asid].ranges.end() ? nullptr : &range.value();
}

void WalkAccount::will_be_huge(Asid asid, VirtAddr base, RangeRecord::By) {
  RangeWalks* range = known(asid, base);
  if (!range) return;
  range->small_time += queue_.now() - range->small_since;
  range->huge_from = range->subcycles;
}

void WalkAccount::will_be_small(Asid asid, VirtAddr base) {
  RangeWalks* range = known(asid, base);
  if (!range) return;
  range->huge_subcycles += range->subcycles - range->huge_from;
  range->small_since = queue_.now();
}

WalkAccount::Space& WalkAccount::meet(Asid asid) {
  if (asid >= spaces_.size()) spaces_.resize(asid + 1);
  Space& space = spaces_[asid];
  space.mm = processes_.address_spaces().at(asid - 1).get();
  shootdown_.add_space({&space.mm->table(), asid});
  return space;
}

MappingId WalkAccount::look_up(Space& space, VirtAddr va) {
  const Vma* vma = space.mm->find(va);
  space.last_vma = vma ? vma->range : VirtRange{};
  space.last_mapping = vma ? vma->mapping : kUnnamed;
  space.last_events = scheduler_.stats().events;
  if (vma && space.last_mapping >= space.by_mapping.size()) space.by_mapping.resize(space.last_mapping + 1);
  return space.last_mapping;
}

}  // namespace collapsar
