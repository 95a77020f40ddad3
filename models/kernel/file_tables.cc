#include "models/kernel/file_tables.h"

#include "models/kernel/file_thp.h"
#include "models/kernel/observer.h"
#include "models/kernel/pmd_state.h"
#include "models/kernel/range_history.h"

namespace collapsar {

namespace {
VirtRange block_at(VirtAddr base) { return {base, base + kHugeBytes}; }
}  // namespace

// --- where ---

// Every VMA that maps the first page of the block, in order of the file's users and of addresses.
std::vector<FileTables::Target> FileTables::targets(FileId file, std::uint64_t first) const {
  std::vector<Target> found;
  for (AddressSpace* mm : kernel_.page_cache->users_of(file))
    for (auto& [start, vma] : mm->vmas()) {
      if (vma.file != file || first < vma.pgoff || first >= vma.pgoff + vma.range.pages()) continue;
      found.push_back({mm, &vma, vma.range.start + ((first - vma.pgoff) << kPageShift)});
    }
  return found;
}

ScanResult FileTables::suitable(const Target& target) const {
  if (target.vma->anon_vma != 0) return ScanResult::PAGE_ANON;
  if (target.base != huge_base(target.base) || target.vma->range.end < target.base + kHugeBytes)
    return ScanResult::VMA_CHECK;
  const ScanResult pmd = pmd_state(target.mm->table(), target.base, kernel_.rules);
  // Its entries remember what userfaultfd protects.
  return pmd == ScanResult::SUCCEED && target.vma->is(Vma::kUffdWp) ? ScanResult::PTE_UFFD_WP : pmd;
}

// A VMA that begins right behind the block counts too: vma_interval_tree_foreach() is given an inclusive end.
bool FileTables::is_watched_for_missing(FileId file, std::uint64_t first) const {
  for (const AddressSpace* mm : kernel_.page_cache->users_of(file))
    for (const auto& [start, vma] : mm->vmas()) {
      const bool overlaps = vma.pgoff <= first + kHugePages && first < vma.pgoff + vma.range.pages();
      if (vma.file == file && overlaps && vma.is(Vma::kUffdMissing)) return true;
    }
  return false;
}

// --- all mappings ---

Duration FileTables::retract_cost(FileId file, std::uint64_t first, CpuId cpu) const {
  Duration cost{};
  for (const Target& t : targets(file, first))
    if (suitable(t) == ScanResult::SUCCEED) cost += this->cost(*t.mm, t.base, cpu);
  return cost;
}

ScanResult FileTables::retract(FileId file, std::uint64_t first, Pfn head, const Asker& asker) {
  ScanResult of_asker = ScanResult::FAIL;
  for (const Target& t : targets(file, first)) {
    const bool is_own = t.mm == asker.mm && t.base == asker.base;
    ScanResult result = suitable(t);
    if (result == ScanResult::SUCCEED && !kernel_.rules.defers_busy_tables) {
      empty(*t.mm, t.base, asker.cpu);
    } else if (result == ScanResult::SUCCEED) {
      const bool asks = asker.is_khugepaged || is_own;
      const bool locked = asks && t.mm->mmap_lock().try_write(LockOwner::khugepaged);
      if (asks && !locked && kernel_.observer) kernel_.observer->busy(*t.mm, /*write=*/true);
      if (!locked && !is_own) {
        khugepaged_.add_pte_mapped(*t.mm, t.base);
        continue;
      }
      if (locked) {
        empty(*t.mm, t.base, asker.cpu);
        if (!asker.is_khugepaged) result = install(*t.mm, *t.vma, t.base, head);
        t.mm->mmap_lock().release_write();
      }
    }
    if (is_own) of_asker = result;
  }
  return of_asker;
}

// Takes the page table out. Requires: its entries are none.
void FileTables::empty(AddressSpace& mm, VirtAddr base, CpuId cpu) {
  mm.table().free_tables(block_at(base), base, base + kHugeBytes);
  kernel_.shootdown.flush(mm.asid(), block_at(base), PageSize::k4K, cpu, /*tables_freed=*/true);
}

// --- one mapping ---

Duration FileTables::cost(const AddressSpace& mm, VirtAddr base, CpuId cpu) const {
  return kernel_.config.costs.retract_table +
         kernel_.shootdown.flush_duration(mm.asid(), block_at(base), PageSize::k4K, cpu);
}

ScanResult FileTables::collapse_pte_mapped(const Asker& asker, bool install_pmd) {
  AddressSpace& mm = *asker.mm;
  Vma* vma = mm.find(asker.base);
  const bool is_file = vma && !vma->is_anonymous() && vma->holds_huge_block(asker.base);
  const ScanResult pmd = pmd_state(mm.table(), asker.base, kernel_.rules);
  if (pmd == ScanResult::PMD_MAPPED && (is_file || kernel_.rules.defers_busy_tables)) return pmd;
  if (!is_file || !thp_vma_allowable(kernel_, mm, *vma, /*enforce_sysfs=*/false, /*in_fault=*/false))
    return ScanResult::VMA_CHECK;
  if (vma->is(Vma::kUffdWp)) return ScanResult::PTE_UFFD_WP;
  const auto page = kernel_.page_cache->find_page(vma->file, vma->page_index(asker.base));
  if (!page) return ScanResult::PAGE_NULL;
  const Frame& frame = kernel_.memory.frame(*page);
  if (!frame.is(Frame::kHead)) return kernel_.rules.defers_busy_tables ? ScanResult::FAIL : ScanResult::PAGE_COMPOUND;
  if (frame.is(Frame::kLocked)) return ScanResult::PAGE_LOCK;
  if (pmd == ScanResult::SUCCEED) {
    const ScanResult entries = check_entries(mm.table(), asker.base, *page);
    if (entries != ScanResult::SUCCEED) return entries;
    rmap_.zap_range(mm, block_at(asker.base));
    empty(mm, asker.base, asker.cpu);
  } else if (pmd == ScanResult::PMD_MAPPED || !mm.table().pmd(asker.base)) {
    return kernel_.rules.defers_busy_tables ? ScanResult::FAIL : pmd;
  }
  return install_pmd ? install(mm, *vma, asker.base, *page) : ScanResult::SUCCEED;
}

// Every entry is none or maps its own part of the huge page.
ScanResult FileTables::check_entries(const PageTable& table, VirtAddr base, Pfn head) const {
  for (Pfn expected = head; const Pte pte : table.pte_table(base)) {
    if (!pte.none() && !pte.present()) return ScanResult::PTE_NON_PRESENT;
    if (!pte.none() && pte.pfn() != expected) return ScanResult::FAIL;
    ++expected;
  }
  return ScanResult::SUCCEED;
}

// set_huge_pmd(), do_set_pmd(): as a read fault would.
ScanResult FileTables::install(AddressSpace& mm, Vma& vma, VirtAddr base, Pfn head) {
  const bool refused = mm.refuses_thp(vma, /*forced=*/true);
  if (!may_map_huge_at(vma, base) || (kernel_.rules.huge_file_map_asks_policy && refused)) return ScanResult::FAIL;
  const bool accessible = vma.flags & (Vma::kRead | Vma::kWrite | Vma::kExec);
  const bool writable = vma.is(Vma::kShared) && vma.writable() && PageCache::is_shmem(vma.file);
  std::uint64_t flags = Pte::kUser | Pte::kAccessed | Pte::kHuge | (accessible ? Pte::kPresent : Pte::kProtNone);
  if (writable) flags |= Pte::kWritable;
  if (!vma.is(Vma::kExec)) flags |= Pte::kNoExec;
  rmap_.map_file_huge(mm, vma, base, head, Pte::make(head, flags));
  kernel_.history->became_huge(mm.asid(), base, RangeRecord::By::madvise_collapse);
  return ScanResult::SUCCEED;
}

}  // namespace collapsar
