// MemoryCalls: madvise. COLLAPSE is a machine of its own (madvise_collapse.h).
#include <algorithm>

#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

// do_madvise: VMA by VMA; a hole gives ENOMEM when the rest is done, any other error ends the call.
void MemoryCalls::madvise(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  if (request.address % kPageBytes != 0) return void(request.error = EINVAL);
  const VirtRange range = pages_of(request.address, request.length);
  const Advice advice = Advice(request.advice);
  if (advice == Advice::populate_read || advice == Advice::populate_write)
    return populate_advised(request, mm, range, effect);
  request.error = walk_vmas(mm, range, /*past_holes=*/true,
                            [&](Vma& vma, VirtRange part) { return advise(request, mm, vma, part, effect); });
}

namespace {

// lru_add_drain() before pages are looked at. Where a check refuses the advice before that, nobody can tell.
bool drains_lru(Advice advice) {
  return advice == Advice::dontneed || advice == Advice::free || advice == Advice::cold || advice == Advice::pageout;
}

}  // namespace

// madvise_vma_behavior
int MemoryCalls::advise(const SyscallRequest& request, AddressSpace& mm, Vma& vma, VirtRange part,
                        SyscallEffect& effect) {
  const bool is_locked = vma.is(Vma::kLocked);
  if (drains_lru(Advice(request.advice))) reclaim_.batches().drain(request.cpu);
  switch (Advice(request.advice)) {
    case Advice::hugepage:
    case Advice::nohugepage: return advise_huge(request, mm, vma, part, effect);
    case Advice::dontneed: return is_locked ? EINVAL : dont_need(mm, part, request.cpu, effect);
    case Advice::free: return is_locked || !vma.is_anonymous() ? EINVAL : free_lazily(mm, vma, part, effect);
    case Advice::cold: return is_locked ? EINVAL : make_cold(mm, part, false, effect);
    case Advice::pageout: return is_locked ? EINVAL : make_cold(mm, part, true, effect);
    case Advice::willneed: return will_need(mm, part, request.cpu);
    case Advice::populate_read:
    case Advice::populate_write:
    case Advice::normal:
    case Advice::random:
    case Advice::sequential:
    case Advice::remove:
    case Advice::dontfork:
    case Advice::dofork:
    case Advice::mergeable:
    case Advice::unmergeable:
    case Advice::dontdump:
    case Advice::dodump:
    case Advice::wipeonfork:
    case Advice::keeponfork:
    case Advice::collapse: return 0;
  }
  return 0;
}

// hugepage_madvise: 6.1 tries to register the process with the new flags on the VMA as it still is (the policy of shared
// memory reads the old ones); later kernels register what the change has made of it, if it changed anything.
int MemoryCalls::advise_huge(const SyscallRequest& request, AddressSpace& mm, Vma& vma, VirtRange part,
                             SyscallEffect& effect) {
  const bool wanted = Advice(request.advice) == Advice::hugepage;
  const std::uint32_t set = wanted ? Vma::kHugePage : Vma::kNoHugePage,
                      clear = wanted ? Vma::kNoHugePage : Vma::kHugePage;
  const std::uint32_t flags = (vma.flags & ~clear) | set;
  const bool changes = flags != vma.flags;
  if (wanted && !kernel_.rules.madvise_registers_changed_vma) {
    Vma probe = vma;
    if (vma.is_anonymous()) probe.flags = flags;
    khugepaged_.enter_vma(mm, probe);
  }
  const Vma& changed = change_flags(mm, vma, part, flags, request.cpu, effect);
  if (wanted && changes && kernel_.rules.madvise_registers_changed_vma) khugepaged_.enter_vma(mm, changed);
  return 0;
}

// --- POPULATE ---

// madvise_populate: EINVAL where the protection forbids the access.
void MemoryCalls::populate_advised(SyscallRequest& request, AddressSpace& mm, VirtRange range, SyscallEffect& effect) {
  const bool writes = Advice(request.advice) == Advice::populate_write;
  const bool past_holes = !kernel_.rules.populate_ends_at_hole;
  request.error = walk_vmas(mm, range, past_holes, [&](Vma& vma, VirtRange part) {
    if (!vma.is(writes ? Vma::kWrite : Vma::kRead)) return EINVAL;
    effect.populate.push_back({part, writes ? Access::write : Access::read});
    return 0;
  });
}

// --- DONTNEED ---

int MemoryCalls::dont_need(AddressSpace& mm, VirtRange part, CpuId cpu, SyscallEffect& effect) {
  effect.cost += split_.split_borders(mm, part, cpu);
  const Rmap::Zapped zapped = rmap_.zap_range(mm, part);
  if (zapped.pages + zapped.huge > 0) add_flush(effect, part, zapped.pages == 0 ? PageSize::k2M : PageSize::k4K);
  return 0;
}

// --- WILLNEED ---

// swapin_walk_pmd_entry, force_shm_swapin_readahead: reads are started, nobody waits for them.
int MemoryCalls::will_need(AddressSpace& mm, VirtRange range, CpuId cpu) {
  mm.for_each(range, [&](Vma& vma) {
    if (PageCache::is_shmem(vma.file)) will_need_shmem(vma, vma.range.intersect(range), cpu);
  });
  mm.table().visit(range, [&](VirtAddr, Pte& pte, PageSize) {
    if (!pte.swap() || swap_cache_.find(pte.swap_slot())) return;
    const auto frame = kernel_.memory.allocate(0, MigrateType::movable, FrameUse::anon);
    if (!frame) return;
    ++kernel_.stats.vmstat.pgalloc;
    swap_cache_.start_read(pte.swap_slot(), *frame);
    reclaim_.add_new(*frame, cpu);
  });
  reclaim_.batches().drain(cpu);
  reclaim_.wake_kswapd_if_low();
  return 0;
}

void MemoryCalls::will_need_shmem(const Vma& vma, VirtRange range, CpuId cpu) {
  for (VirtAddr va = range.start; va < range.end; va += kPageBytes) {
    const PageCache::Entry entry = kernel_.page_cache->find(vma.file, vma.page_index(va));
    if (!entry.swap() || swap_cache_.find(entry.slot())) continue;
    const auto frame = kernel_.memory.allocate(0, MigrateType::movable, FrameUse::file);
    if (!frame) return;
    ++kernel_.stats.vmstat.pgalloc;
    kernel_.memory.frame(*frame).set(Frame::kSwapBacked);
    swap_cache_.start_read(entry.slot(), *frame);
    reclaim_.add_new(*frame, cpu);
  }
}

}  // namespace collapsar
