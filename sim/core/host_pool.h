// HostPool: room for many objects of one kind that are used all over, close together.
//
// Models:      nothing; it is about the machine that collapsar runs on: what lies in few pages of the host costs it few
//              misses of its own TLB.
// Owns:        its objects' memory, in chunks that grow with their number up to huge pages (host_pages.h); it all goes when
//              the pool goes. Objects must have been destroyed by then, or need no destruction.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include "sim/core/host_pages.h"

namespace collapsar {

template <class T>
class HostPool {
 public:
  HostPool() = default;
  HostPool(const HostPool&) = delete;
  HostPool& operator=(const HostPool&) = delete;
  ~HostPool() {
    for (const auto& [at, rooms] : chunks_) HostPages<Room>().deallocate(at, rooms);
  }

  T* make() {
    Room* room = free_;
    if (room) free_ = room->next_free;
    else room = fresh_room();
    return new (room->object) T();
  }
  void destroy(T* object) {
    object->~T();
    free_ = new (object) Room{free_};
  }

 private:
  union Room {
    Room* next_free;
    alignas(T) std::byte object[sizeof(T)];
  };
  // ours: a few objects are no waste for a small process, and the most are those of one huge page of the host.
  static constexpr std::size_t kFewest = 4, kMost = HostPages<Room>::kHugePage / sizeof(Room);
  static_assert(kFewest <= kMost);

  Room* fresh_room() {
    if (next_ == end_) {
      const std::size_t rooms = std::clamp(rooms_, kFewest, kMost);
      next_ = HostPages<Room>().allocate(rooms), end_ = next_ + rooms;
      chunks_.push_back({next_, rooms});
      rooms_ += rooms;
    }
    return next_++;
  }

  std::vector<std::pair<Room*, std::size_t>> chunks_;
  std::size_t rooms_ = 0;                  // of all chunks
  Room *next_ = nullptr, *end_ = nullptr;  // of the last chunk: never used so far
  Room* free_ = nullptr;
};

}  // namespace collapsar
