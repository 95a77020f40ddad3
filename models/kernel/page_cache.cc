#include "models/kernel/page_cache.h"

#include <algorithm>

namespace collapsar {

PageCache::PageCache(KernelContext& kernel) : kernel_(kernel), files_(1) {}

// --- files ---

std::uint32_t PageCache::number_of(FileId id) {
  const auto [it, is_new] = numbers_.insert({id, std::uint32_t(files_.size())});
  if (is_new) files_.emplace_back().id = id;
  return it->second;
}

PageCache::File& PageCache::file(FileId id) { return files_[number_of(id)]; }

const PageCache::File* PageCache::known(FileId id) const {
  const auto it = numbers_.find(id);
  return it == numbers_.end() ? nullptr : &files_[it->second];
}

FileId PageCache::new_shmem_file(std::uint64_t pages) {
  file(next_shmem_).pages = pages;
  return next_shmem_++;
}

std::uint64_t PageCache::pages_of_file(FileId id) const {
  const File* f = known(id);
  return f ? f->pages : ~0ULL;
}

void PageCache::add_user(FileId id, AddressSpace& mm) {
  std::vector<AddressSpace*>& users = file(id).users;
  if (!std::ranges::count(users, &mm)) users.push_back(&mm);
}

void PageCache::forget(AddressSpace& mm) {
  for (File& f : files_) std::erase(f.users, &mm);
}

const std::vector<AddressSpace*>& PageCache::users_of(FileId id) const {
  static const std::vector<AddressSpace*> nobody;
  const File* f = known(id);
  return f ? f->users : nobody;
}

void PageCache::hold(FileId id) { ++file(id).holders; }

void PageCache::release(FileId id) {
  SIM_ASSERT(file(id).holders > 0, "file {} is released but not held", id);
  --file(id).holders;
}

bool PageCache::is_in_use(FileId id) const {
  if (const File* f = known(id); f && f->holders > 0) return true;
  for (const AddressSpace* mm : users_of(id))
    for (const auto& [start, vma] : mm->vmas())
      if (vma.file == id) return true;
  return false;
}

void PageCache::set_open_for_write(FileId id, bool open) { file(id).open_for_write = open; }

bool PageCache::is_open_for_write(FileId id) const {
  if (const File* f = known(id); f && f->open_for_write) return true;
  for (const AddressSpace* mm : users_of(id))
    for (const auto& [start, vma] : mm->vmas())
      if (vma.file == id && vma.is(Vma::kShared) && vma.writable()) return true;
  return false;
}

// --- finding ---

const PageCache::Block* PageCache::block_of(FileId id, std::uint64_t index) const {
  const File* f = known(id);
  if (!f) return nullptr;
  const auto it = f->blocks.find(index / kHugePages);
  return it == f->blocks.end() ? nullptr : it->second.get();
}

PageCache::Entry PageCache::find(FileId id, std::uint64_t index) const {
  const Block* block = block_of(id, index);
  return block ? block->entries[index % kHugePages] : Entry{};
}

std::optional<Pfn> PageCache::find_page(FileId id, std::uint64_t index) const {
  const Entry entry = find(id, index);
  if (!entry.page()) return std::nullopt;
  return entry.pfn();
}

std::optional<Pfn> PageCache::find_huge_page(FileId id, std::uint64_t index) const {
  const auto page = find_page(id, index);
  if (!page) return std::nullopt;
  const Pfn head = kernel_.memory.head_of(*page);
  const Frame& frame = kernel_.memory.frame(head);
  if (!frame.is(Frame::kHead) || frame.mapping == 0) return std::nullopt;
  return head;
}

bool PageCache::is_block_empty(FileId id, std::uint64_t index, bool swap_counts) const {
  const Block* block = block_of(id, index);
  if (!block) return true;
  return std::ranges::none_of(block->entries, [&](Entry e) { return e.page() || (swap_counts && e.swap()); });
}

std::vector<std::uint64_t> PageCache::blocks_in_order(const File& f) const {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, block] : f.blocks) numbers.push_back(number);
  std::ranges::sort(numbers);
  return numbers;
}

std::vector<Pfn> PageCache::pages(FileId id) const {
  std::vector<Pfn> found;
  const File* f = known(id);
  if (!f) return found;
  for (const std::uint64_t number : blocks_in_order(*f))
    for (const Entry e : f->blocks.at(number)->entries)
      if (e.page() && !kernel_.memory.frame(e.pfn()).is(Frame::kTail)) found.push_back(e.pfn());
  return found;
}

std::uint64_t PageCache::swapped_pages(FileId id, std::uint64_t first, std::uint64_t end) const {
  std::uint64_t found = 0;
  for (std::uint64_t at = first; at < end;) {
    const std::uint64_t block_end = std::min(end, (at / kHugePages + 1) * kHugePages);
    if (const Block* block = block_of(id, at))
      for (std::uint64_t i = at; i < block_end; ++i) found += block->entries[i % kHugePages].swap();
    at = block_end;
  }
  return found;
}

// --- changing ---

void PageCache::set(File& f, std::uint64_t index, Entry entry) {
  auto& block = f.blocks[index / kHugePages];
  if (!block) block = std::make_unique<Block>(), ++blocks_;
  Entry& place = block->entries[index % kHugePages];
  block->used += place.none();
  block->used -= entry.none();
  place = entry;
  block->is_one_swap_entry = false;
  if (block->used == 0) f.blocks.erase(index / kHugePages), --blocks_;
}

void PageCache::add(FileId id, std::uint64_t index, Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  const std::uint64_t pages = frame.is(Frame::kHead) ? kHugePages : 1;
  SIM_ASSERT(frame.used_as() == FrameUse::file, "frame {:#x} in the page cache is no file page", pfn.value);
  SIM_ASSERT(frame.mapping == 0 && index % pages == 0, "frame {:#x} enters the page cache at {} with mapping {}",
             pfn.value, index, std::uint32_t(frame.mapping));
  File& f = file(id);
  frame.mapping = number_of(id);
  frame.index = index & ((1ULL << 48) - 1);
  if (is_shmem(id)) frame.set(Frame::kSwapBacked);
  for (std::uint64_t i = 0; i < pages; ++i) {
    SIM_ASSERT(find(id, index + i).none(), "page {} of file {} is cached twice", index + i, id);
    set(f, index + i, Entry::of_page(pfn + i));
  }
}

void PageCache::add_swapped_in(FileId id, std::uint64_t index, Pfn pfn) {
  const Entry was = find(id, index);
  SIM_ASSERT(was.swap(), "page {} of file {} is not swapped out", index, id);
  const std::uint64_t pages = kernel_.memory.frame(pfn).is(Frame::kHead) ? kHugePages : 1;
  for (std::uint64_t i = 0; i < pages; ++i) set(file(id), index + i, {});
  add(id, index, pfn);
  for (std::uint32_t i = 0; i < pages; ++i) kernel_.swap.release(was.slot() + i);
}

void PageCache::swap_out(Pfn pfn, SwapSlot slot) {
  Frame& frame = kernel_.memory.frame(pfn);
  SIM_ASSERT(frame.mapping != 0, "frame {:#x} cannot leave for swap", pfn.value);
  File& f = files_[frame.mapping];
  const std::uint32_t pages = frame.is(Frame::kHead) ? std::uint32_t(kHugePages) : 1;
  for (std::uint32_t i = 0; i < pages; ++i) {
    set(f, frame.index + i, Entry::of_swap(slot + i));
    kernel_.swap.duplicate(slot + i);
  }
  f.blocks.at(frame.index / kHugePages)->is_one_swap_entry = pages > 1;
  frame.mapping = 0;
}

std::uint64_t PageCache::pages_of_swap_entry(FileId id, std::uint64_t index) const {
  return block_of(id, index)->is_one_swap_entry ? kHugePages : 1;
}

void PageCache::remove(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  SIM_ASSERT(frame.mapping != 0, "frame {:#x} leaves the page cache without being in it", pfn.value);
  File& f = files_[frame.mapping];
  const std::uint64_t pages = frame.is(Frame::kHead) ? kHugePages : 1;
  for (std::uint64_t i = 0; i < pages; ++i) set(f, frame.index + i, {});
  frame.mapping = 0;
}

void PageCache::moved(Pfn to) {
  const Frame& frame = kernel_.memory.frame(to);
  set(files_[frame.mapping], frame.index, Entry::of_page(to));
}

std::vector<Pfn> PageCache::replace_block(FileId id, std::uint64_t first, Pfn head) {
  std::vector<Pfn> old;
  for (std::uint64_t i = 0; i < kHugePages; ++i) {
    const Entry e = find(id, first + i);
    SIM_ASSERT(!e.swap(), "page {} of file {} is swapped out in a collapsed block", first + i, id);
    if (e.none()) continue;
    if (e.pfn() == head + i) {
      unreserve(id, first + i, head + i);
      continue;
    }
    old.push_back(e.pfn());
    remove(e.pfn());
  }
  add(id, first, head);
  return old;
}

void PageCache::reserve(FileId id, std::uint64_t index, Pfn pfn) {
  SIM_ASSERT(find(id, index).none(), "page {} of file {} is reserved while it is cached", index, id);
  set(file(id), index, Entry::of_page(pfn));
}

void PageCache::unreserve(FileId id, std::uint64_t index, Pfn pfn) {
  SIM_ASSERT(find(id, index) == Entry::of_page(pfn), "page {} of file {} is not reserved", index, id);
  set(file(id), index, {});
}

std::vector<SwapSlot> PageCache::take_swap_entries(FileId id) {
  std::vector<SwapSlot> slots;
  if (!known(id)) return slots;
  File& f = file(id);
  for (const std::uint64_t number : blocks_in_order(f))
    for (std::uint64_t i = 0; i < kHugePages; ++i) {
      const Entry e = find(id, number * kHugePages + i);
      if (!e.swap()) continue;
      slots.push_back(e.slot());
      set(f, number * kHugePages + i, {});
    }
  return slots;
}

}  // namespace collapsar
