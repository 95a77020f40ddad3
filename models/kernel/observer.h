// KernelObserver: who wants to know what khugepaged decides, step by step, as the kernel's tracepoints tell it.
//
// Time:        none; called at the moment of the decision. An observer must not change anything.
// Source:      khugepaged.md 8.1 (tracepoints huge_memory:*).
#pragma once

#include <optional>

#include "models/kernel/address_space.h"

namespace collapsar {

// What a scan counted, as the tracepoint mm_khugepaged_scan_pmd shows it.
struct ScanCounts {
  std::uint32_t referenced = 0, none_or_zero = 0, unmapped = 0, shared = 0, looked_at = 0;
  bool writable = false;
};

class KernelObserver {
 public:
  virtual ~KernelObserver() = default;

  virtual void entered(const AddressSpace&) {}  // __khugepaged_enter: the mm has a slot now
  virtual void left(const AddressSpace&) {}     // __khugepaged_exit of a registered mm
  // One step of the daemon's loop over VMAs.
  virtual void vma_looked_at(const AddressSpace&, const Vma&, [[maybe_unused]] bool is_eligible) {}

  // mm_khugepaged_scan_pmd, with the tracepoints of the collapse that followed, as far as it came.
  struct PmdScan {
    const AddressSpace* mm = nullptr;
    VirtAddr base{};
    bool by_khugepaged = false;  // or MADV_COLLAPSE
    ScanResult status = ScanResult::FAIL;
    ScanCounts counts;
    struct SwapIn {
      std::uint32_t swapped_in = 0, referenced = 0;
      ScanResult result = ScanResult::SUCCEED;
    };
    struct Isolate {
      ScanCounts counts;
      ScanResult status = ScanResult::FAIL;
    };
    std::optional<SwapIn> swapin;
    std::optional<Isolate> isolate;
    std::optional<ScanResult> collapse;  // its status
  };
  virtual void pmd_scanned(const PmdScan&) {}

  // mm_khugepaged_scan_file, and mm_khugepaged_collapse_file if a collapse was tried.
  struct FileScan {
    const AddressSpace* mm = nullptr;
    VirtAddr base{};
    std::uint64_t index = 0;  // page of the file
    bool by_khugepaged = false;
    ScanResult status = ScanResult::FAIL;
    std::uint32_t present = 0, swap = 0;
    std::optional<ScanResult> collapse;
  };
  virtual void file_scanned(const FileScan&) {}
  // collapse_pte_mapped_thp: an already huge range of the page cache is dealt with in one page table.
  virtual void pte_mapped(const AddressSpace&, VirtAddr, [[maybe_unused]] bool by_khugepaged, ScanResult) {}
  // khugepaged did not get mmap_lock: for write, to empty a page table; else for the scan.
  virtual void busy(const AddressSpace&, [[maybe_unused]] bool write) {}
};

}  // namespace collapsar
