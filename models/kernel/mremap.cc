// MemoryCalls: mremap: grow, shrink, move.
#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

// sys_mremap, mremap_to, vma_to_resize. What stands at the new place goes before the old one is looked at.
void MemoryCalls::mremap(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange from = pages_of(request.address, request.length),
                  to = pages_of(request.new_address, request.new_length);
  const bool is_cut = request.address % kPageBytes != 0 || request.new_address % kPageBytes != 0;
  if (is_cut || to.empty()) return void(request.error = EINVAL);
  if (!mm.find(from.start)) return void(request.error = EFAULT);
  const bool moves = from.start != to.start;
  if (moves && (from.overlaps(to) || to.end > mm.user_range().end)) return void(request.error = EINVAL);
  if (moves) unmap(mm, to, request.cpu, effect);
  if (to.bytes() < from.bytes()) unmap(mm, {from.start + to.bytes(), from.end}, request.cpu, effect);
  const VirtRange kept{from.start, std::min(from.end, from.start + to.bytes())};
  if (kept.end > mm.find(kept.start)->range.end) return void(request.error = EFAULT);
  if (moves) return move(mm, kept, to, request.cpu, effect);
  if (to.end <= from.end) return;
  unmap(mm, {from.end, to.end}, request.cpu, effect);
  extend(mm, *mm.find(kept.end - 1), {from.end, to.end});
}

// Grows `vma` at its end.
void MemoryCalls::extend(AddressSpace& mm, const Vma& vma, VirtRange by) {
  Vma more = vma.cut({vma.range.start, by.end});
  more.pgoff = vma.page_index(by.start);
  more.range = by;
  bool merged = false;
  Vma* grown = mm.add(more, &merged);
  if (merged) khugepaged_.enter_vma(mm, *grown);
}

// move_vma: a copy of the VMA at the new place, which may merge with its neighbours there; the entries carried over; the
// old place unmapped. Pages keep their index, so that the reverse map finds them at the new place.
void MemoryCalls::move(AddressSpace& mm, VirtRange from, VirtRange to, CpuId cpu, SyscallEffect& effect) {
  Vma copy = mm.find(from.start)->cut(from);
  copy.range = to;
  copy.flags &= ~std::uint32_t(Vma::kUffd);
  copy.write_locked = false;
  copy.fault_readers = 0;
  const bool is_unfaulted = copy.is_anonymous() && copy.own_anon_vma == 0;
  if (is_unfaulted) copy.pgoff = to.start.value >> kPageShift;  // copy_vma
  bool merged = false;
  Vma* moved = mm.add(copy, &merged, AddressSpace::Adding::copy);
  if (merged) khugepaged_.enter_vma(mm, *moved);
  for (VirtAddr va = from.start; va < from.end;) {
    const std::uint64_t to_border = kHugeBytes - va.value % kHugeBytes;
    const VirtAddr target = to.start + (va - from.start);
    const std::uint64_t bytes =
        std::min({to_border, kHugeBytes - target.value % kHugeBytes, std::uint64_t(from.end - va)});
    move_block(mm, va, target, bytes, cpu, effect);
    va += bytes;
  }
  effect.tables_freed = true;
  add_flush(effect, from);
  unmap(mm, from, cpu, effect);
}

// What lies in one 2 MiB block of the old place: whole, if both places are aligned, else entry by entry.
void MemoryCalls::move_block(AddressSpace& mm, VirtAddr from, VirtAddr to, std::uint64_t bytes, CpuId cpu,
                             SyscallEffect& effect) {
  PageTable& table = mm.table();
  const Pte* pmd = table.pmd(from);
  if (!pmd || pmd->none()) return;
  bool enough = true;
  const Pte* target = table.pmd(to);
  if (bytes == kHugeBytes && to == huge_base(to) && (!target || target->none())) {
    const bool is_huge = pmd->huge() && !pmd->zero_page();
    enough = table.move_pmd(from, to);
    if (enough && is_huge) note_moved(mm, from, to);
  } else {
    effect.cost += split_.split_pmd(mm, from, cpu);
    if (table.pmd_is_table(from)) enough = table.ensure_pte_table(to) && table.ensure_pte_table(to + bytes - 1);
    for (std::uint64_t at = 0; at < bytes && enough; at += kPageBytes) enough = table.move_pte(from + at, to + at);
  }
  if (!enough) reclaim_.out_of_memory(mm.pid(), 1);
}

void MemoryCalls::note_moved(const AddressSpace& mm, VirtAddr from, VirtAddr to) {
  const RangeRecord* record = kernel_.history->find(mm.asid(), from);
  if (!record || !record->is_huge) return;
  kernel_.history->stopped_huge(mm.asid(), from, RangeRecord::Stop::moved);
  kernel_.history->became_huge(mm.asid(), to, RangeRecord::By::mremap);
}

}  // namespace collapsar
