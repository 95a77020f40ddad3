// MemoryCalls: userfaultfd: arming, write-protecting and disarming a range.
#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

void MemoryCalls::userfaultfd(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range{{request.address}, {request.address + request.length}};
  const bool is_cut = request.address % kPageBytes != 0 || request.length % kPageBytes != 0;
  if (is_cut || range.empty() || range.end > mm.user_range().end) return void(request.error = EINVAL);
  switch (UffdMode(request.value)) {
    case UffdMode::missing: request.error = arm(mm, range, Vma::kUffdMissing, request.cpu, effect); return;
    case UffdMode::wp: request.error = arm(mm, range, Vma::kUffdWp, request.cpu, effect); return;
    case UffdMode::off: request.error = arm(mm, range, 0, request.cpu, effect); return;
    case UffdMode::protect: request.error = write_protect(mm, range, request.cpu, effect); return;
  }
}

// UFFDIO_REGISTER, and with no flag UFFDIO_UNREGISTER. Holes are passed over, but something must be mapped in the range.
// Only anonymous and shared memory can be armed.
int MemoryCalls::arm(AddressSpace& mm, VirtRange range, std::uint32_t flag, CpuId cpu, SyscallEffect& effect) {
  const Vma* first = mm.first_ending_above(range.start);
  if (!first) return ENOMEM;
  if (first->range.start >= range.end) return EINVAL;
  bool is_possible = true;
  mm.for_each(range, [&](const Vma& vma) {
    is_possible &= vma.is_anonymous() || vma.is(Vma::kHugetlb) || PageCache::is_shmem(vma.file);
  });
  if (!is_possible) return EINVAL;
  walk_vmas(mm, range, /*past_holes=*/true, [&](Vma& vma, VirtRange part) {
    const bool is_nothing_new = flag ? vma.is(Vma::Flag(flag)) : !(vma.flags & Vma::kUffd);
    if (is_nothing_new) return 0;
    if (flag == 0 && vma.is(Vma::kUffdWp)) lift_protection(mm, vma, part, effect);
    change_flags(mm, vma, part, (vma.flags & ~std::uint32_t(Vma::kUffd)) | flag, cpu, effect);
    return 0;
  });
  return 0;
}

// UFFDIO_WRITEPROTECT: what is there, or swapped out, is marked and loses its write bit.
int MemoryCalls::write_protect(AddressSpace& mm, VirtRange range, CpuId cpu, SyscallEffect& effect) {
  const Vma* first = mm.find(range.start);
  const bool is_one_vma = first && range.end <= first->range.end;
  if (!is_one_vma && !kernel_.rules.uffd_protects_many_vmas) return ENOENT;
  bool is_any = false, is_armed = true;
  mm.for_each(range, [&](const Vma& vma) {
    is_armed &= vma.is(Vma::kUffdWp);
    if (!is_armed) return;
    is_any = true;
    const VirtRange part = vma.range.intersect(range);
    effect.cost += split_.split_borders(mm, part, cpu);
    mm.table().visit(part, [](VirtAddr, Pte& pte, PageSize) {
      pte.set(Pte::kUffdWp);
      pte.clear(Pte::kWritable);
    });
    add_flush(effect, part);
  });
  return is_any && is_armed ? 0 : ENOENT;
}

// uffd_wp_range(false) at unregistering: older kernels leave every page of the range read-only until it is written to.
void MemoryCalls::lift_protection(AddressSpace& mm, const Vma& vma, VirtRange part, SyscallEffect& effect) {
  mm.table().visit(part, [&](VirtAddr, Pte& pte, PageSize size) {
    pte.clear(Pte::kUffdWp);
    if (!pte.present()) return;
    if (!vma.is(Vma::kShared)) pte.clear(Pte::kWritable);
    if (kernel_.rules.mprotect_upgrades_clean && may_become_writable(pte, vma, size)) pte.set(Pte::kWritable);
  });
  add_flush(effect, part);
}

}  // namespace collapsar
