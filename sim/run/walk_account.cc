#include "sim/run/walk_account.h"

namespace collapsar {

const WalkAccount::Ranges* WalkAccount::ranges_of(Asid asid) const {
  return asid < spaces_.size() ? &spaces_[asid].ranges : nullptr;
}

WalkCount WalkAccount::of_mapping(Asid asid, MappingId mapping) const {
  if (asid >= spaces_.size() || mapping >= spaces_[asid].by_mapping.size()) return {};
  return spaces_[asid].by_mapping[mapping];
}

void WalkAccount::forget_ranges() {
  for (Space& space : spaces_) space.ranges.clear();
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
