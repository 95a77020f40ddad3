// RangeHistory: what happened to each 2 MiB range, for "why is this not huge?".
//
// Owns:        one entry per range that was ever scanned, collapsed or faulted huge. Ordered by (asid, base) for reports.
#pragma once

#include <array>
#include <map>

#include "models/kernel/kernel_stats.h"
#include "models/mmu/kernel_port.h"

namespace collapsar {

struct RangeRecord {
  std::uint32_t times_scanned = 0;
  std::array<std::uint32_t, kScanResults> results{};
  ScanResult last = ScanResult::FAIL;
  Time last_scan{};
  std::uint32_t last_none_or_zero = 0, last_unmapped = 0, last_referenced = 0, last_shared = 0, last_present = 0;
  enum class By : std::uint8_t { nobody, fault, khugepaged, madvise_collapse } huge_by = By::nobody;
  bool is_huge = false;
  Time became_huge{};
  std::uint32_t became_huge_times = 0, split_times = 0;
  Duration collapse_cost{};  // CPU time of the collapse that succeeded last
};

class RangeHistory {
 public:
  struct Key {
    Asid asid;
    std::uint64_t base;
    auto operator<=>(const Key&) const = default;
  };
  RangeRecord& at(Asid asid, VirtAddr base) { return ranges_[{asid, huge_base(base).value}]; }
  const RangeRecord* find(Asid asid, VirtAddr base) const {
    auto it = ranges_.find({asid, huge_base(base).value});
    return it == ranges_.end() ? nullptr : &it->second;
  }
  const std::map<Key, RangeRecord>& all() const { return ranges_; }

 private:
  std::map<Key, RangeRecord> ranges_;
};

}  // namespace collapsar
