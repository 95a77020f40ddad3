// FileTables: the page tables over a 2 MiB range of a file whose page is huge: emptied, so that the next fault maps the
// huge page, or filled with it at once.
//
// Models:      retract_page_tables() in all mappings of a collapsed range; collapse_pte_mapped_thp() in one. 6.1: under
//              mmap_lock for write, which other processes are only asked for; a busy one is remembered in its slot.
// Simplified:  6.1 holds mmap_lock of a mapping for an instant only; a locked huge page is not waited for (PAGE_LOCK).
// Time:        none of its own; cost() says what the caller is to let pass before.
// Source:      khugepaged.md 5.9, 6; its observations on 6.1 and 6.12.
#pragma once

#include "models/kernel/khugepaged_entry.h"
#include "models/kernel/rmap.h"

namespace collapsar {

class FileTables {
 public:
  struct Asker {
    AddressSpace* mm = nullptr;
    VirtAddr base{};
    bool is_khugepaged = false;
    CpuId cpu = kNoCpu;
  };
  FileTables(KernelContext& kernel, Rmap& rmap, KhugepagedEntry& khugepaged)
      : kernel_(kernel), rmap_(rmap), khugepaged_(khugepaged) {}

  // Empties the page tables of all suitable mappings of the block that begins at page `first` and holds `head` now.
  // Returns what it came to at the asker's own address.
  ScanResult retract(FileId file, std::uint64_t first, Pfn head, const Asker& asker);
  Duration retract_cost(FileId file, std::uint64_t first, CpuId cpu) const;
  // The range of `asker` in its own page table: emptied, or (`install`) mapped by a PMD. Requires: its mmap_lock held
  // (6.1: for write).
  ScanResult collapse_pte_mapped(const Asker& asker, bool install);
  Duration cost(const AddressSpace& mm, VirtAddr base, CpuId cpu) const;  // of collapse_pte_mapped()
  // A VMA of the file that covers the block has a userfaultfd that waits for missing pages.
  bool is_watched_for_missing(FileId file, std::uint64_t first) const;

 private:
  struct Target {
    AddressSpace* mm;
    Vma* vma;
    VirtAddr base;
  };
  std::vector<Target> targets(FileId file, std::uint64_t first) const;
  ScanResult suitable(const Target& target) const;
  ScanResult check_entries(const PageTable& table, VirtAddr base, Pfn head) const;
  void empty(AddressSpace& mm, VirtAddr base, CpuId cpu);
  ScanResult install(AddressSpace& mm, Vma& vma, VirtAddr base, Pfn head);

  KernelContext& kernel_;
  Rmap& rmap_;
  KhugepagedEntry& khugepaged_;
};

}  // namespace collapsar
