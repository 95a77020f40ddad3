// MemoryCalls: what changes the flags of VMAs: mprotect, mlock, munlock; and clear_refs.
#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

// Huge PMDs are split where the changed part cuts them. A merge registers the process (vma_merge).
Vma& MemoryCalls::change_flags(AddressSpace& mm, Vma& vma, VirtRange part, std::uint32_t flags, CpuId cpu,
                               SyscallEffect& effect) {
  if (flags == vma.flags) return vma;
  effect.cost += split_.split_borders(mm, part, cpu);
  const AddressSpace::Changed changed = mm.change_flags(vma, part, flags);
  if (changed.merged) khugepaged_.enter_vma(mm, *changed.vma);
  return *changed.vma;
}

// --- mprotect ---

void MemoryCalls::mprotect(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range = pages_of(request.address, request.length);
  if (request.address % kPageBytes != 0) return void(request.error = EINVAL);
  request.error = walk_vmas(mm, range, /*past_holes=*/false, [&](Vma& vma, VirtRange part) {
    const std::uint32_t flags = protected_flags(vma, request.prot);
    if (flags == vma.flags) return 0;
    constexpr std::uint32_t kPrivateLocked = Vma::kWrite | Vma::kShared | Vma::kLocked;
    const bool becomes_writable = (vma.flags & kPrivateLocked) == Vma::kLocked && (flags & Vma::kWrite);
    const Vma& changed = change_flags(mm, vma, part, flags, request.cpu, effect);
    protect_pages(mm, changed, part, request.cpu, effect);
    if (becomes_writable) effect.populate.push_back({part, Access::write});  // no fault later, as mlock promised
    return 0;
  });
}

// mprotect_fixup: what becomes writable is charged from then on.
std::uint32_t MemoryCalls::protected_flags(const Vma& vma, std::uint32_t prot) const {
  constexpr std::uint32_t kNeverAsks = Vma::kAccount | Vma::kWrite | Vma::kHugetlb | Vma::kShared | Vma::kNoReserve;
  std::uint32_t flags = (vma.flags & ~kProtBits) | (prot & kProtBits);
  if (flags == vma.flags) return flags;
  if (flags & Vma::kWrite) {
    if (!(vma.flags & kNeverAsks)) flags |= Vma::kAccount;
  } else if (kernel_.rules.mprotect_drops_account && vma.is_anonymous() && vma.own_anon_vma == 0) {
    flags &= ~std::uint32_t(Vma::kAccount);
  }
  return flags;
}

void MemoryCalls::protect_pages(AddressSpace& mm, const Vma& vma, VirtRange part, CpuId, SyscallEffect& effect) {
  bool any = false;
  mm.table().visit(part, [&](VirtAddr, Pte& pte, PageSize size) {
    if (!pte.present()) return;
    any = true;
    pte = protected_as(pte, vma, size);
  });
  if (any) add_flush(effect, part);
}

// change_pte_range, change_huge_pmd: a private page becomes writable again at once only if it is known to be exclusive;
// else its next write faults.
Pte MemoryCalls::protected_as(Pte pte, const Vma& vma, PageSize size) const {
  const bool is_none = (vma.flags & kProtBits) == 0;
  const bool writable = may_become_writable(pte, vma, size);
  pte.clear(Pte::kPresent | Pte::kProtNone | Pte::kNoExec | Pte::kWritable);
  pte.set(is_none ? Pte::kProtNone : Pte::kPresent);
  if (!vma.is(Vma::kExec)) pte.set(Pte::kNoExec);
  if (writable) pte.set(Pte::kWritable);
  return pte;
}

// can_change_pte_writable, can_change_pmd_writable. A clean page of a file faults (page_mkwrite).
bool MemoryCalls::may_become_writable(Pte pte, const Vma& vma, PageSize size) const {
  if (!vma.writable() || pte.zero_page() || (pte.bits & Pte::kUffdWp)) return false;
  if (vma.is(Vma::kHugetlb)) return true;
  if (vma.is(Vma::kShared)) return PageCache::is_shmem(vma.file) || pte.dirty();
  if (!(pte.bits & Pte::kSoftExclusive)) return false;
  return kernel_.rules.mprotect_upgrades_clean || (size == PageSize::k4K && pte.dirty());
}

// --- prctl ---

// PR_SET_THP_DISABLE; the value is what PR_GET_THP_DISABLE would return. Older kernels know no flags.
void MemoryCalls::thp_disable(SyscallRequest& request, AddressSpace& mm) const {
  using Disabled = AddressSpace::Disabled;
  const bool has_flag = request.value & kPrThpDisableExceptAdvised;
  if (has_flag && !kernel_.rules.disable_except_advised) return void(request.error = EINVAL);
  mm.thp = request.value == 0 ? Disabled::no : has_flag ? Disabled::except_advised : Disabled::completely;
}

// --- mlock ---

// Pages are locked VMA by VMA; then, if there was no hole, all of the range is read in.
void MemoryCalls::mlock(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range = pages_of(request.address, request.length);
  request.error = walk_vmas(mm, range, /*past_holes=*/false, [&](Vma& vma, VirtRange part) {
    if (vma.is(Vma::kLocked) || vma.is(Vma::kHugetlb) || vma.is(Vma::kIo)) return 0;
    change_flags(mm, vma, part, vma.flags | Vma::kLocked, request.cpu, effect);
    reclaim_.batches().drain(request.cpu);
    mark_locked(mm, part, true);
    return 0;
  });
  if (request.error == 0) request.error = populate_locked(mm, range, effect);
}

void MemoryCalls::munlock(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range = pages_of(request.address, request.length);
  request.error = walk_vmas(mm, range, /*past_holes=*/false, [&](Vma& vma, VirtRange part) {
    if (!vma.is(Vma::kLocked)) return 0;
    change_flags(mm, vma, part, vma.flags & ~std::uint32_t(Vma::kLocked), request.cpu, effect);
    reclaim_.batches().drain(request.cpu);
    mark_locked(mm, part, false);
    return 0;
  });
}

// mlock_pte_range. A huge page mapped by PTEs: 6.1 leaves it alone; 6.12 locks it if all of it is mapped here.
void MemoryCalls::mark_locked(AddressSpace& mm, VirtRange part, bool locked) {
  mm.table().visit(part, [&](VirtAddr va, Pte& pte, PageSize size) {
    if (!pte.present() || pte.zero_page()) return;
    const Pfn head = kernel_.memory.head_of(pte.pfn());
    Frame& folio = kernel_.memory.frame(head);
    const bool in_parts = folio.is(Frame::kHead) && size == PageSize::k4K;
    if (in_parts && !kernel_.rules.mlocks_pte_mapped_whole) return;
    if (in_parts && locked && (pte.pfn() != head || batch_length(mm, in_table(va, part.end)) != kHugePages)) return;
    locked ? folio.set(Frame::kUnevictable) : folio.clear(Frame::kUnevictable);
  });
}

namespace {

// populate_vma_page_range: private writable mappings are written to, others read.
Access populating_access(const Vma& vma) {
  return vma.writable() && !vma.is(Vma::kShared) ? Access::write : Access::read;
}

}  // namespace

// __mm_populate for mlock: ends at a mapping that nobody may touch.
int MemoryCalls::populate_locked(AddressSpace& mm, VirtRange range, SyscallEffect& effect) {
  return walk_vmas(mm, range, /*past_holes=*/true, [&](Vma& vma, VirtRange part) {
    if ((vma.flags & kProtBits) == 0) return ENOMEM;
    effect.populate.push_back({part, populating_access(vma)});
    return 0;
  });
}

// mm_populate for mmap: what cannot be had is passed over.
void MemoryCalls::populate_mapped(AddressSpace& mm, VirtRange range, SyscallEffect& effect) {
  mm.for_each(range, [&](Vma& vma) {
    if (vma.flags & kProtBits) effect.populate.push_back({vma.range.intersect(range), populating_access(vma)});
  });
}

// --- clear_refs ---

void MemoryCalls::clear_refs(AddressSpace& mm, SyscallEffect& effect) {
  bool any = false;
  mm.table().visit(mm.user_range(), [&](VirtAddr, Pte& pte, PageSize) {
    if (!pte.present()) return;
    any = true;
    pte.clear(Pte::kAccessed);
    if (!pte.zero_page()) kernel_.memory.frame(kernel_.memory.head_of(pte.pfn())).clear(Frame::kReferenced);
  });
  if (any) add_flush(effect, mm.user_range());
}

}  // namespace collapsar
