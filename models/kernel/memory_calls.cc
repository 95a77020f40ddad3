#include "models/kernel/memory_calls.h"

#include <algorithm>
#include <utility>

#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

MemoryCalls::MemoryCalls(KernelContext& kernel, Processes& processes, Rmap& rmap, SwapCache& swap_cache,
                         Reclaim& reclaim, Split& split, KhugepagedEntry& khugepaged)
    : kernel_(kernel),
      processes_(processes),
      rmap_(rmap),
      swap_cache_(swap_cache),
      reclaim_(reclaim),
      split_(split),
      khugepaged_(khugepaged) {}

VirtRange MemoryCalls::pages_of(std::uint64_t address, std::uint64_t length) {
  return {align_down(VirtAddr{address}, kPageBytes), align_up(VirtAddr{address + length}, kPageBytes)};
}

void MemoryCalls::add_flush(SyscallEffect& effect, VirtRange range, PageSize stride) {
  if (range.empty()) return;
  effect.flush = effect.needs_flush
                     ? VirtRange{std::min(effect.flush.start, range.start), std::max(effect.flush.end, range.end)}
                     : range;
  effect.stride = effect.needs_flush ? std::min(effect.stride, stride) : stride;
  effect.needs_flush = true;
}

namespace {

using Op = SyscallRequest::Op;
using Cause = RangeRecord::Cause;

// The calls and the advice that can take a huge page away or apart.
constexpr std::pair<Op, Cause> kCauses[] = {
    {Op::mmap, Cause::mmap}, {Op::munmap, Cause::munmap},   {Op::mprotect, Cause::mprotect},
    {Op::brk, Cause::brk},   {Op::mremap, Cause::mremap},   {Op::mlock, Cause::mlock},
    {Op::exec, Cause::exec}, {Op::munlock, Cause::munlock}, {Op::exit, Cause::exit},
};
constexpr std::pair<Advice, Cause> kAdviceCauses[] = {
    {Advice::hugepage, Cause::madv_hugepage}, {Advice::nohugepage, Cause::madv_nohugepage},
    {Advice::dontneed, Cause::madv_dontneed}, {Advice::free, Cause::madv_free},
    {Advice::cold, Cause::madv_cold},         {Advice::pageout, Cause::madv_pageout},
};

Cause cause_of(const SyscallRequest& request) {
  if (request.op == Op::madvise)
    for (const auto& [advice, cause] : kAdviceCauses)
      if (advice == Advice(request.advice)) return cause;
  for (const auto& [op, cause] : kCauses)
    if (op == request.op) return cause;
  return Cause::other;
}

}  // namespace

SyscallEffect MemoryCalls::apply(SyscallRequest& request, AddressSpace& mm) {
  const RangeHistory::Because because(*kernel_.history, cause_of(request));
  SyscallEffect effect;
  const VirtRange range = pages_of(request.address, request.length);
  switch (request.op) {
    case Op::mmap: mmap(request, mm, effect); break;
    case Op::munmap: munmap(request, mm, effect); break;
    case Op::mprotect: mprotect(request, mm, effect); break;
    case Op::mremap: mremap(request, mm, effect); break;
    case Op::madvise: madvise(request, mm, effect); break;
    case Op::mlock: mlock(request, mm, effect); break;
    case Op::munlock: munlock(request, mm, effect); break;
    case Op::brk: brk(request, mm, effect); break;
    case Op::thp_disable: thp_disable(request, mm); break;
    case Op::clear_refs: clear_refs(mm, effect); break;
    case Op::userfaultfd: userfaultfd(request, mm, effect); break;
    case Op::fork: fork(request, mm, effect); break;
    case Op::exec: exec(request, mm); break;
    case Op::exit: tear_down(mm, request.cpu), processes_.end(processes_.of(request.task)); break;
    case Op::thread: request.new_task = processes_.new_task(processes_.of(request.task)); break;
    case Op::thread_exit: processes_.end_task(request.task); break;
    case Op::add_vma: add_image_vma(request, mm); break;
    case Op::stack_room: set_stack_room(mm, range); break;
    case Op::heap_room: set_heap_room(mm, range); break;
  }
  return effect;
}

// --- mmap ---

VirtRange MemoryCalls::place_mapping(SyscallRequest& request, const AddressSpace& mm) const {
  const PageSize page = hugetlb_page(request);
  const std::uint64_t bytes = align_up(request.length, page_bytes(page));
  if (request.address == 0) {
    const bool is_anonymous = request.map_flags & kMapAnonymous;
    const bool aligned_huge = kernel_.rules.aligns_huge_mmaps && is_anonymous && bytes % kHugeBytes == 0;
    request.address = mm.find_free(bytes, std::max(page_bytes(page), aligned_huge ? kHugeBytes : kPageBytes)).value;
  }
  const VirtAddr start = align_down(VirtAddr{request.address}, page_bytes(page));
  return {start, start + bytes};
}

Vma MemoryCalls::new_vma(const SyscallRequest& request, AddressSpace& mm, VirtRange range) {
  const bool is_anonymous = request.map_flags & kMapAnonymous;
  Vma vma;
  vma.range = range;
  vma.flags = vma_flags(request.prot, request.map_flags);
  vma.page = hugetlb_page(request);
  vma.file = is_anonymous ? 0 : request.file;
  if (vma.file == 0 && vma.is(Vma::kShared)) vma.file = kernel_.page_cache->new_shmem_file(range.pages());
  const bool has_offset = vma.file != 0 && !is_anonymous;
  vma.pgoff = has_offset ? request.offset >> kPageShift : vma.file != 0 ? 0 : range.start.value >> kPageShift;
  if (vma.file != 0) kernel_.page_cache->add_user(vma.file, mm);
  const std::string name = mapping_name(request.name);
  vma.mapping = name.empty() ? kUnnamed : mm.mapping_named(name);
  return vma;
}

void MemoryCalls::mmap(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const bool is_cut = (request.map_flags & kMapFixed) && request.address % kPageBytes != 0;
  if (request.length == 0 || is_cut) return void(request.error = EINVAL);
  const VirtRange range = place_mapping(request, mm);
  if (range.end > mm.user_range().end) return void(request.error = ENOMEM);
  unmap(mm, range, request.cpu, effect);  // MAP_FIXED; a trace's address is where the mapping came to stand
  bool merged = false;
  Vma* vma = mm.add(new_vma(request, mm, range), &merged);
  if (merged || !vma->is_anonymous()) khugepaged_.enter_vma(mm, *vma);
  if (request.map_flags & (kMapPopulate | kMapLocked)) populate_mapped(mm, range, effect);
}

// --- munmap ---

void MemoryCalls::munmap(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range = pages_of(request.address, request.length);
  if (request.address % kPageBytes != 0 || range.empty()) return void(request.error = EINVAL);
  unmap(mm, range, request.cpu, effect);
}

void MemoryCalls::unmap(AddressSpace& mm, VirtRange range, CpuId cpu, SyscallEffect& effect) {
  std::vector<FileId> shmem;
  bool is_mapped = false;
  mm.for_each(range, [&](Vma& vma) {
    is_mapped = true;
    if (PageCache::is_shmem(vma.file) && !std::ranges::count(shmem, vma.file)) shmem.push_back(vma.file);
  });
  if (!is_mapped) return;
  reclaim_.batches().drain(cpu);  // unmap_region
  effect.cost += split_.split_borders(mm, range, cpu);
  mm.split_at(range);
  const Rmap::Zapped zapped = rmap_.zap_range(mm, range);
  mm.remove(range);
  const std::uint64_t tables = mm.table().table_pages();
  const Vma* before = range.start.value == 0 ? nullptr : last_before(mm, range.start);
  const Vma* after = mm.first_ending_above(range.start);
  mm.table().free_tables(range, before ? before->range.end : VirtAddr{0}, after ? after->range.start : VirtAddr{0});
  if (mm.table().table_pages() < tables) effect.tables_freed = true;
  if (zapped.pages + zapped.huge > 0 || effect.tables_freed)
    add_flush(effect, range, zapped.pages == 0 && zapped.huge > 0 ? PageSize::k2M : PageSize::k4K);
  for (const FileId file : shmem) rmap_.drop_shmem_file(file);
}

// --- heap and image ---

// Grows only into free room, with a page and the gap below a stack to spare.
void MemoryCalls::brk(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtAddr old_end = align_up(mm.brk, kPageBytes), new_end = align_up(VirtAddr{request.address}, kPageBytes);
  if (request.address < mm.heap_room.start.value) return void(request.error = ENOMEM);
  if (new_end > old_end && is_room_taken(mm, {old_end, new_end})) return void(request.error = ENOMEM);
  mm.brk = VirtAddr{request.address};
  if (new_end < old_end) return unmap(mm, {new_end, old_end}, request.cpu, effect);
  if (new_end == old_end) return;
  Vma vma;
  vma.range = {old_end, new_end};
  vma.flags = Vma::kRead | Vma::kWrite | Vma::kAccount;
  vma.pgoff = old_end.value >> kPageShift;
  vma.mapping = mm.mapping_named("heap");
  bool merged = false;
  Vma* heap = mm.add(vma, &merged, AddressSpace::Adding::brk);
  if (merged) khugepaged_.enter_vma(mm, *heap);
}

bool MemoryCalls::is_room_taken(AddressSpace& mm, VirtRange room) {
  const Vma* next = mm.first_ending_above(room.start);
  if (!next) return false;
  const std::uint64_t gap = next->is(Vma::kGrowsDown) ? kStackGuardGap : 0;
  return room.end + kPageBytes + gap > next->range.start;
}

void MemoryCalls::add_image_vma(const SyscallRequest& request, AddressSpace& mm) {
  Vma vma = new_vma(request, mm, pages_of(request.address, request.length));
  const std::string name = mapping_name(request.name);
  if (name == "stack") vma.flags |= Vma::kGrowsDown;
  mm.insert(vma);
  if (name == "heap" || (vma.is_anonymous() && mm.heap_room.contains(vma.range.start)))
    mm.brk = std::max(mm.brk, vma.range.end);
}

// The VMA on top of the room is the stack, whatever its name.
void MemoryCalls::set_stack_room(AddressSpace& mm, VirtRange room) {
  mm.stack_room = room;
  Vma* stack = mm.first_ending_above(room.end - 1);
  if (!stack || stack->range.start > room.end || !stack->is_anonymous()) return;
  stack->flags |= Vma::kGrowsDown;
  stack->mapping = mm.mapping_named("stack");
}

void MemoryCalls::set_heap_room(AddressSpace& mm, VirtRange room) {
  mm.heap_room = room;
  mm.brk = std::max(mm.brk, room.start);
  const Vma* heap = mm.find(room.start);
  if (heap && heap->is_anonymous()) mm.brk = std::max(mm.brk, heap->range.end);
}

}  // namespace collapsar
