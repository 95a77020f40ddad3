#include "sim/run/memory_ledger.h"

namespace collapsar {

void MemoryUse::add(const MemoryUse& other) {
  anon += other.anon, file += other.file, huge += other.huge;
  tables += other.tables, swapped += other.swapped, peak += other.peak;
  collapsible += other.collapsible;
}

void MemoryLedger::note_exit(TaskId task) {
  AddressSpace* mm = kernel_.processes().mm_of(task);
  if (mm) at_exit_[mm->asid()] = {count(*mm), count_mappings(*mm)};
}

MemoryUse MemoryLedger::of(AddressSpace& mm) {
  const auto note = at_exit_.find(mm.asid());
  return note != at_exit_.end() ? note->second.use : count(mm);
}

std::vector<MappingUse> MemoryLedger::mappings_of(AddressSpace& mm) {
  const auto note = at_exit_.find(mm.asid());
  return note != at_exit_.end() ? note->second.mappings : count_mappings(mm);
}

MemoryUse MemoryLedger::total() const {
  MemoryUse total;
  for (const auto& mm : kernel_.processes().address_spaces()) {
    if (mm->exited()) continue;
    total.anon += mm->anon_rss, total.file += mm->file_rss, total.huge += mm->huge_pages;
    total.tables += mm->table().table_pages(), total.swapped += mm->swap_entries;
  }
  return total;
}

MemoryUse MemoryLedger::count(AddressSpace& mm) {
  MemoryUse use;
  use.peak = mm.peak_rss;
  if (mm.exited()) return use;
  use.anon = mm.anon_rss, use.file = mm.file_rss, use.huge = mm.huge_pages;
  use.tables = mm.table().table_pages(), use.swapped = mm.swap_entries;
  use.collapsible = kernel_.collapse().candidates(mm);
  return use;
}

std::vector<MappingUse> MemoryLedger::count_mappings(AddressSpace& mm) {
  std::vector<MappingUse> uses(mm.mappings().size());
  if (mm.exited()) return uses;
  for (const auto& [start, vma] : mm.vmas()) {
    if (vma.mapping >= uses.size()) continue;
    MappingUse& use = uses[vma.mapping];
    mm.table().visit(vma.range, [&](VirtAddr, Pte& leaf, PageSize size) {
      if (!leaf.present() || leaf.zero_page()) return;
      const FrameUse kind = memory_.frame(leaf.pfn()).used_as();
      if (kind == FrameUse::anon) use.anon += pages_4k(size), use.huge += size == PageSize::k2M;
      if (kind == FrameUse::file) use.file += pages_4k(size);
    });
  }
  return uses;
}

std::uint64_t MemoryLedger::collapsible() {
  std::uint64_t ranges = 0;
  for (const auto& mm : kernel_.processes().address_spaces()) ranges += of(*mm).collapsible;
  return ranges;
}

}  // namespace collapsar
