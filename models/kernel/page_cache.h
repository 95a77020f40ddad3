// PageCache: which page of which file is in memory, and which page of shared memory has gone to swap.
//
// Models:      per file an index of pages, huge pages (512 entries of one compound page) and swap entries of shared
//              memory; who maps a file; who has it open for writing; its size.
// Simplified:  a file other than shared memory has no end.
// Time:        none; callers charge the costs.
// Owns:        the index, and one user of each swap slot that stands in it.
// Source:      Linux mm/filemap.c, mm/shmem.c as documented; khugepaged.md 5.9.
//
// Invariants:
//  1. A frame of use `file` has mapping != 0 iff it is in the index; of a compound page the head says so for all.
//  2. A compound page stands at an aligned block of 512 indices, alone.
//  3. kSwapBacked: a page of shared memory, in the index or only in the swap cache.
#pragma once

#include <tsl/robin_map.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "models/kernel/address_space.h"

namespace collapsar {

class PageCache {
 public:
  // One index of a file.
  class Entry {
   public:
    Entry() = default;
    static Entry of_page(Pfn pfn) { return Entry(pfn.value << 2 | kPage); }
    static Entry of_swap(SwapSlot slot) { return Entry(std::uint64_t(slot) << 2 | kSwap); }
    bool none() const { return bits_ == 0; }
    bool page() const { return bits_ & kPage; }
    bool swap() const { return bits_ & kSwap; }
    Pfn pfn() const { return {bits_ >> 2}; }
    SwapSlot slot() const { return SwapSlot(bits_ >> 2); }
    bool operator==(const Entry&) const = default;

   private:
    static constexpr std::uint64_t kPage = 1, kSwap = 2;
    explicit Entry(std::uint64_t bits) : bits_(bits) {}
    std::uint64_t bits_ = 0;
  };

  explicit PageCache(KernelContext& kernel);

  // --- files ---
  FileId new_shmem_file(std::uint64_t pages);
  static bool is_shmem(FileId file) { return file >= kFirstShmem; }
  std::uint64_t pages_of_file(FileId file) const;  // of shared memory; others have no end
  // `mm` has a VMA of the file.
  void add_user(FileId file, AddressSpace& mm);
  void forget(AddressSpace& mm);
  const std::vector<AddressSpace*>& users_of(FileId file) const;
  bool is_in_use(FileId file) const;  // some VMA or holder is left
  // Keeps a file whose last mapping goes meanwhile (get_file).
  void hold(FileId file);
  void release(FileId file);
  void set_open_for_write(FileId file, bool open);
  bool is_open_for_write(FileId file) const;  // so said, or a shared writable VMA shows it

  // --- the index ---
  Entry find(FileId file, std::uint64_t index) const;
  std::optional<Pfn> find_page(FileId file, std::uint64_t index) const;
  // The 2 MiB page that holds `index`.
  std::optional<Pfn> find_huge_page(FileId file, std::uint64_t index) const;
  // No page in the aligned block of 512 around `index`; swap entries do not count unless `swap_counts`.
  bool is_block_empty(FileId file, std::uint64_t index, bool swap_counts) const;
  // Enters a fresh page, small or huge. Requires: nothing is there. The LRU lists are the caller's.
  void add(FileId file, std::uint64_t index, Pfn pfn);
  // A page read from swap, or still in the swap cache, takes the place of its swap entry, whose user of the slot is given
  // up. A huge page: of all 512, from its first index on.
  void add_swapped_in(FileId file, std::uint64_t index, Pfn pfn);
  // A page of shared memory leaves; its place keeps `slot`, whose user the index becomes. A huge page: 512 slots from
  // there on, in one entry.
  void swap_out(Pfn pfn, SwapSlot slot);
  // The swapped-out pages that the entry of a swapped-out index stands for: 1, or 512 until one of them comes back.
  std::uint64_t pages_of_swap_entry(FileId file, std::uint64_t index) const;
  // The small page's frame has moved (PhysicalMemory::move_frame).
  void moved(Pfn to);
  // The page leaves (small or huge). Its frame is the caller's to free.
  void remove(Pfn pfn);
  // Replaces whatever stands in the aligned block by a huge page. Returns the small pages that stood there, each out
  // of the index now. Requires: no swap entries.
  std::vector<Pfn> replace_block(FileId file, std::uint64_t first, Pfn head);
  // For collapse (6.1): empty indices of a block show the locked new page until it is done or given up.
  void reserve(FileId file, std::uint64_t index, Pfn pfn);
  void unreserve(FileId file, std::uint64_t index, Pfn pfn);
  // The pages and the swap entries of a file, in order of index; a huge page once.
  std::vector<Pfn> pages(FileId file) const;
  std::vector<SwapSlot> take_swap_entries(FileId file);
  // Swapped-out pages with an index in [first, end): what smaps shows as Swap of a shared mapping.
  std::uint64_t swapped_pages(FileId file, std::uint64_t first, std::uint64_t end) const;
  // f(FileId, index, Entry) for every index that is not empty; in no particular order, so f must not care.
  template <class F>
  void for_each_entry(F&& f) const;

  FileId file_of(const Frame& head) const { return files_[head.mapping].id; }
  std::uint64_t host_bytes() const { return blocks_ * sizeof(Block); }

 private:
  static constexpr FileId kFirstShmem = 1ULL << 62;
  struct Block {
    std::array<Entry, kHugePages> entries{};
    std::uint32_t used = 0;
    bool is_one_swap_entry = false;  // a huge page went to swap whole, and nothing of it has come back
  };
  struct File {
    FileId id = 0;
    std::uint64_t pages = ~0ULL;
    bool open_for_write = false;
    std::uint32_t holders = 0;
    std::vector<AddressSpace*> users;  // in order of their first mapping
    tsl::robin_map<std::uint64_t, std::unique_ptr<Block>> blocks;
  };
  File& file(FileId id);
  const File* known(FileId id) const;
  std::uint32_t number_of(FileId id);
  const Block* block_of(FileId id, std::uint64_t index) const;
  void set(File& file, std::uint64_t index, Entry entry);
  std::vector<std::uint64_t> blocks_in_order(const File& file) const;

  KernelContext& kernel_;
  std::vector<File> files_;  // Frame::mapping of a file page is its place here; 0 means none
  tsl::robin_map<FileId, std::uint32_t> numbers_;
  FileId next_shmem_ = kFirstShmem;
  std::uint64_t blocks_ = 0;
};

template <class F>
void PageCache::for_each_entry(F&& f) const {
  for (const File& file : files_)
    for (const auto& [number, block] : file.blocks)
      for (std::uint64_t i = 0; i < kHugePages; ++i)
        if (!block->entries[i].none()) f(file.id, number * kHugePages + i, block->entries[i]);
}

}  // namespace collapsar
