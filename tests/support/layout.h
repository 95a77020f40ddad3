// Layout: memory of a process put in place entry by entry, free of time and of faults, as khugepaged would find it.
#pragma once

#include "tests/support/kernel_bench.h"

namespace collapsar::test {

class Layout {
 public:
  // What a page has whose owner has just written to it.
  static constexpr std::uint64_t kWarm =
      Pte::kPresent | Pte::kUser | Pte::kWritable | Pte::kAccessed | Pte::kDirty | Pte::kNoExec | Pte::kSoftExclusive;
  static constexpr std::uint64_t kOld = kWarm & ~Pte::kAccessed;
  static constexpr std::uint64_t kReadOnly = kWarm & ~Pte::kWritable;

  Layout(KernelBench& bench, TaskId task) : bench_(bench), mm_(bench.mm(task)) {}

  // An anonymous mapping that has had a fault (anon_vma), in khugepaged's list.
  Vma& vma(VirtAddr start, std::uint64_t bytes, std::uint32_t flags = Vma::kRead | Vma::kWrite) {
    Vma fresh{.range = {start, start + bytes}, .flags = flags, .pgoff = start.value >> kPageShift, .mapping = kUnnamed};
    Vma& added = *mm_.add(fresh);
    bench_.kernel.rmap().prepare_anon_vma(mm_, added);
    bench_.kernel.khugepaged().enter_vma(mm_, added);
    return added;
  }
  Pfn page(VirtAddr va, std::uint64_t flags = kWarm) {
    const Pfn pfn = *bench_.memory.allocate(0, MigrateType::movable, FrameUse::anon, AllocLevel::reserve);
    slot(va);
    bench_.kernel.rmap().map_new_anon(mm_, *mm_.find(va), va, pfn, Pte::make(pfn, flags));
    bench_.kernel.reclaim().add(pfn, false);
    return pfn;
  }
  void pages(VirtAddr va, std::uint64_t count, std::uint64_t flags = kWarm) {
    for (std::uint64_t i = 0; i < count; ++i) page(va + i * kPageBytes, flags);
  }
  // The same page as somebody else's.
  void share(VirtAddr va, Pfn pfn, std::uint64_t flags = kReadOnly) {
    slot(va);
    bench_.kernel.rmap().map_again(mm_, *mm_.find(va), va, pfn, Pte::make(pfn, flags & ~Pte::kSoftExclusive));
  }
  void zero_page(VirtAddr va) {
    slot(va) =
        Pte::make(bench_.kernel.context().zero_page, Pte::kPresent | Pte::kUser | Pte::kAccessed | Pte::kSpecial);
  }
  void swapped_out(VirtAddr va, std::uint64_t count = 1) {
    for (std::uint64_t i = 0; i < count; ++i, ++mm_.swap_entries)
      slot(va + i * kPageBytes) = Pte::make_swap(*bench_.swap.allocate());
  }
  // A 2 MiB page, mapped whole.
  Pfn huge(VirtAddr base) {
    const Pfn head = *bench_.memory.allocate(kHugeOrder, MigrateType::movable, FrameUse::anon, AllocLevel::reserve);
    bench_.kernel.rmap().map_new_huge(mm_, *mm_.find(base), base, head, Pte::make(head, kWarm));
    bench_.kernel.reclaim().add(head, false);
    return head;
  }
  // The same, mapped by 512 PTEs.
  Pfn huge_by_ptes(VirtAddr base) {
    const Pfn head = huge(base);
    bench_.kernel.split().split_pmd(mm_, base, kNoCpu);
    return head;
  }

 private:
  Pte& slot(VirtAddr va) {
    mm_.table().ensure_pte_table(va);
    return *mm_.table().pte(va);
  }

  KernelBench& bench_;
  AddressSpace& mm_;
};

}  // namespace collapsar::test
