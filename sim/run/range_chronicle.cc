#include "sim/run/range_chronicle.h"

namespace collapsar {

using State = RangeChange::State;

void RangeChronicle::will_be_huge(Asid asid, VirtAddr base, RangeRecord::By by) {
  note(asid, base, {.when = queue_.now(), .state = State::huge, .by = by});
}

void RangeChronicle::will_be_small(Asid asid, VirtAddr base) {
  note(asid, base, {.when = queue_.now(), .state = State::small});
}

// A huge range that is looked at stays huge.
void RangeChronicle::refused(Asid asid, VirtAddr base, ScanResult why) {
  const auto range = ranges_.find({asid, base.value});
  if (range != ranges_.end() && range->second.back().state == State::huge) return;
  note(asid, base, {.when = queue_.now(), .state = State::refused, .refusal = why});
}

void RangeChronicle::note(Asid asid, VirtAddr base, RangeChange change) {
  std::vector<RangeChange>& changes = ranges_[{asid, base.value}];
  if (!changes.empty() && changes.back().says_the_same(change)) return;
  if (changes.size() == kMostChanges) changes.pop_back();
  changes.push_back(change);
}

std::vector<RangeChange> RangeChronicle::of(Asid asid, VirtAddr base) const {
  const auto range = ranges_.find({asid, base.value});
  return range == ranges_.end() ? std::vector<RangeChange>{} : range->second;
}

}  // namespace collapsar
