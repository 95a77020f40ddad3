// MemoryCalls: what changes the flags of VMAs: mprotect, mlock, munlock; and clear_refs.
#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

// Returns the parts that changed. Huge PMDs are split only where a changed part cuts them.
std::vector<VirtRange> MemoryCalls::change_flags(AddressSpace& mm, VirtRange range, std::uint32_t set,
                                                 std::uint32_t clear, CpuId cpu, SyscallEffect& effect) {
  std::vector<VirtRange> changed;
  mm.for_each(range, [&](Vma& vma) {
    if (((vma.flags & ~clear) | set) != vma.flags) changed.push_back(vma.range.intersect(range));
  });
  for (const VirtRange part : changed) effect.cost += split_.split_borders(mm, part, cpu);
  for (Vma* vma : mm.change_flags(range, set, clear)) khugepaged_.enter_vma(mm, *vma);
  return changed;
}

// --- mprotect ---

void MemoryCalls::mprotect(const SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const std::uint32_t set = request.prot & kProtBits;
  const VirtRange range = pages_of(request.address, request.length);
  for (const VirtRange part : change_flags(mm, range, set, kProtBits & ~set, request.cpu, effect)) {
    const Vma& vma = *mm.find(part.start);
    bool any = false;
    mm.table().visit(part, [&](VirtAddr, Pte& pte, PageSize) {
      if (!pte.present()) return;
      any = true;
      pte = protected_as(pte, vma);
    });
    if (any) add_flush(effect, part);
  }
}

// change_pte_range: a private page becomes writable again at once only if it is known to be exclusive; else its next
// write faults.
Pte MemoryCalls::protected_as(Pte pte, const Vma& vma) const {
  const bool is_none = (vma.flags & kProtBits) == 0;
  const bool is_shared = vma.is(Vma::kShared) &&
                         (PageCache::is_shmem(vma.file) || pte.dirty());  // a clean file page faults (page_mkwrite)
  const bool is_own = (pte.bits & Pte::kSoftExclusive) || is_shared || vma.is(Vma::kHugetlb);
  pte.clear(Pte::kPresent | Pte::kProtNone | Pte::kNoExec);
  pte.set(is_none ? Pte::kProtNone : Pte::kPresent);
  if (!vma.is(Vma::kExec)) pte.set(Pte::kNoExec);
  if (!vma.writable()) pte.clear(Pte::kWritable);
  else if (is_own && !pte.zero_page()) pte.set(Pte::kWritable);
  return pte;
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

void MemoryCalls::mlock(const SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range = pages_of(request.address, request.length);
  change_flags(mm, range, Vma::kLocked, 0, request.cpu, effect);
  mm.table().visit(range, [&](VirtAddr, Pte& pte, PageSize) {
    if (pte.present() && !pte.zero_page())
      kernel_.memory.frame(kernel_.memory.head_of(pte.pfn())).set(Frame::kUnevictable);
  });
  add_populate(mm, range, effect);
}

void MemoryCalls::munlock(const SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range = pages_of(request.address, request.length);
  change_flags(mm, range, 0, Vma::kLocked, request.cpu, effect);
  mm.table().visit(range, [&](VirtAddr, Pte& pte, PageSize) {
    if (pte.present() && !pte.zero_page())
      kernel_.memory.frame(kernel_.memory.head_of(pte.pfn())).clear(Frame::kUnevictable);
  });
}

// populate_vma_page_range: private writable mappings are written to, others read.
void MemoryCalls::add_populate(AddressSpace& mm, VirtRange range, SyscallEffect& effect) {
  mm.for_each(range, [&](Vma& vma) {
    if ((vma.flags & kProtBits) == 0) return;
    const bool writes = vma.writable() && !vma.is(Vma::kShared);
    effect.populate.push_back({vma.range.intersect(range), writes ? Access::write : Access::read});
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
