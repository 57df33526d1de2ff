// Status: RocksDB's and the system's errors as bounced::Error. Private to this folder.
#pragma once

#include <rocksdb/status.h>

#include <string>

#include "bounced/result.h"

namespace bounced::store {

/// `what` is being done to the store in `dir`.
tl::unexpected<Error> store_error(const rocksdb::Status& status, std::string what,
                                  const std::string& dir);
/// From errno.
tl::unexpected<Error> system_error(int number, std::string what, const std::string& path);

}  // namespace bounced::store
