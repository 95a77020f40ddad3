// WalkAccount: where the page walks went: per 2 MiB range and per mapping of each address space.
//
// Models:      nothing. A range's walks are split by whether it was huge when they ended.
// Time:        none.
// Owns:        its counts. Mappings belong to the address spaces.
//
// Hot path: walk_done() runs once per walk: one hash look-up for the range; the mapping is looked up again only when the
// walks leave it or an address-space event has passed (only such an event can put another mapping in its place). L1 misses
// are counted in the tally of their mapping and brought in when it changes, or when somebody asks.
#pragma once

#include <tsl/robin_map.h>

#include <algorithm>
#include <vector>

#include "models/cpu/scheduler.h"
#include "models/kernel/process.h"
#include "models/kernel/range_history.h"
#include "models/mmu/shootdown.h"

namespace collapsar {

struct WalkCount {
  std::uint64_t walks = 0, l1_misses = 0, l2_misses = 0;  // misses: of mappings only
  std::int64_t subcycles = 0;
  std::uint64_t cycles() const { return static_cast<std::uint64_t>(subcycles) / Clock::kSubcycles; }
  void add(std::int64_t length) { ++walks, subcycles += length; }
};

class WalkAccount : public WalkObserver, public RangeWatcher {
 public:
  struct RangeWalks : WalkCount {
    MappingId mapping = kUnnamed;  // of the first walk here
    Time first_walk{};
    // Cycles and time of the times that are over; the one that lasts began at huge_from, or at small_since.
    std::int64_t huge_subcycles = 0, huge_from = 0;
    Duration small_time{};
    Time small_since{};  // not before the first walk: a range that nobody uses has no rate
    std::int64_t subcycles_while_huge(bool is_huge) const {
      return huge_subcycles + (is_huge ? subcycles - huge_from : 0);
    }
    Duration time_while_small(bool is_huge, Time now) const {
      return small_time + (is_huge ? Duration::zero() : std::max(now - small_since, Duration::zero()));
    }
  };
  using Ranges = tsl::robin_map<std::uint64_t, RangeWalks>;  // by range number; look-ups and sorted copies only

  // Every address space seen for the first time is announced to `shootdown`, so that --check can hold TLBs against it.
  WalkAccount(const EventQueue& queue, Processes& processes, const Scheduler& scheduler, Shootdown& shootdown)
      : queue_(queue), processes_(processes), scheduler_(scheduler), shootdown_(shootdown) {}

  void walk_done(Asid asid, VirtAddr va, std::int64_t subcycles) override {
    Space& space = space_of(asid);
    const MappingId mapping = mapping_at(space, va);
    RangeWalks& range = space.ranges[va.value / kHugeBytes];
    if (range.walks == 0) range.mapping = mapping, range.first_walk = range.small_since = queue_.now();
    range.add(subcycles);
    if (mapping != kUnnamed) space.by_mapping[mapping].add(subcycles);
  }

  void will_be_huge(Asid asid, VirtAddr base, RangeRecord::By by) override;
  void will_be_small(Asid asid, VirtAddr base) override;

  // nullptr: no walk there.
  const Ranges* ranges_of(Asid asid) const;
  WalkCount of_mapping(Asid asid, MappingId mapping) const;
  // What ranges have so far no longer counts (end of the warm-up); mappings go on.
  void forget_ranges();

 private:
  void begin_tally(Asid asid, VirtAddr va) override;
  struct Space {
    AddressSpace* mm = nullptr;
    Ranges ranges;
    std::vector<WalkCount> by_mapping;
    VirtRange last_vma{};
    MappingId last_mapping = kUnnamed;
    std::uint64_t last_events = 0;
    bool is_in_last(VirtAddr va, std::uint64_t events) const { return last_vma.contains(va) && last_events == events; }
  };
  Space& space_of(Asid asid) {
    if (asid < spaces_.size() && spaces_[asid].mm) [[likely]]
      return spaces_[asid];
    return meet(asid);
  }
  MappingId mapping_at(Space& space, VirtAddr va) {
    return space.is_in_last(va, scheduler_.stats().events) ? space.last_mapping : look_up(space, va);
  }
  Space& meet(Asid asid);
  MappingId look_up(Space& space, VirtAddr va);
  RangeWalks* known(Asid asid, VirtAddr base);

  const EventQueue& queue_;
  Processes& processes_;
  const Scheduler& scheduler_;
  Shootdown& shootdown_;
  std::vector<Space> spaces_;  // by asid
  MappingId tally_mapping_ = kUnnamed;
};

}  // namespace collapsar
