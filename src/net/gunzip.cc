#include <zlib.h>

#include <algorithm>

#include "bounced/limits.h"
#include "net/http_server.h"

namespace bounced::net {

Result<void> gunzip(std::string_view packed, std::size_t bytes_max, std::string& out) {
  out.clear();
  z_stream stream{};
  constexpr int kAnyHeader = 15 + 32;  // zlib.h: gzip or zlib, told by the header
  if (::inflateInit2(&stream, kAnyHeader) != Z_OK) {
    return fail(ErrorCode::io, "gunzip", "body", "no memory");
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  int status = Z_OK;
  while (status == Z_OK) {
    if (stream.total_out >= out.size()) {
      if (out.size() > bytes_max) break;
      out.resize(std::min(bytes_max + 1, std::max<std::size_t>(4096, 2 * out.size())));
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + stream.total_out);
    stream.avail_out = static_cast<uInt>(out.size() - stream.total_out);
    const uInt before = stream.avail_in;
    status = ::inflate(&stream, Z_NO_FLUSH);
    if (status == Z_BUF_ERROR && stream.avail_out == 0) status = Z_OK;  // more room was wanted
    if (status == Z_OK && stream.avail_in == 0 && before == 0 && stream.avail_out != 0) break;
  }
  const std::size_t size = stream.total_out;
  const bool rest = stream.avail_in != 0;
  ::inflateEnd(&stream);
  if (size > bytes_max) return fail(ErrorCode::busy, "gunzip", "body", "unpacks to too much");
  if (status != Z_STREAM_END || rest) {
    return fail(ErrorCode::data, "gunzip", "body", "is damaged or cut");
  }
  out.resize(size + limits::kBlockPadding, '\0');
  out.resize(size);
  return {};
}

}  // namespace bounced::net
