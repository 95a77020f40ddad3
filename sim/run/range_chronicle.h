// RangeChronicle: the state of each 2 MiB range over time, for the map of the address space.
//
// A state lasts until the next: huge (and who made it so), small again, or small and refused (the last verdict). What says
// the same again is not noted again.
//
// Simplified:  of each range the first kMostChanges are noted; then the last one is kept up to date.
// Time:        none of its own; notes the moment it is told.
#pragma once

#include <map>
#include <vector>

#include "models/kernel/range_history.h"

namespace collapsar {

struct RangeChange {
  enum class State : std::uint8_t { small, refused, huge };
  Time when{};
  State state = State::small;
  ScanResult refusal = ScanResult::FAIL;         // refused
  RangeRecord::By by = RangeRecord::By::nobody;  // huge
  bool says_the_same(const RangeChange& o) const { return state == o.state && refusal == o.refusal && by == o.by; }
};

class RangeChronicle : public RangeWatcher {
 public:
  static constexpr std::size_t kMostChanges = 64;

  explicit RangeChronicle(const EventQueue& queue) : queue_(queue) {}
  void will_be_huge(Asid asid, VirtAddr base, RangeRecord::By by) override;
  void will_be_small(Asid asid, VirtAddr base) override;
  void refused(Asid asid, VirtAddr base, ScanResult why) override;

  // In order of time; empty if nothing happened there.
  std::vector<RangeChange> of(Asid asid, VirtAddr base) const;

 private:
  void note(Asid asid, VirtAddr base, RangeChange change);

  const EventQueue& queue_;
  std::map<RangeHistory::Key, std::vector<RangeChange>> ranges_;
};

}  // namespace collapsar
