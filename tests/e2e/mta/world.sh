#!/bin/bash
# usage: world.sh ROOT RUN HERE     inside private namespaces (see mta_test.py); ROOT holds the unpacked packages.
# Starts the sink, Exim on port 3025 and Postfix on port 3026, and then does what it is told on stdin, one word a line:
#   inject FILE      sends the mails of FILE; rotate-exim; rotate-postfix; quit
set -u
ROOT=$1 RUN=$2 HERE=$3
hostname mx-out1.esp.example
ip link set lo up
for address in 198.18.0.1 198.18.0.2 198.18.255.9; do ip addr add $address/16 dev lo; done
mkdir -p "$RUN"/{etc/exim4,log/exim,spool-exim,spool-postfix,lib-postfix}
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$RUN/etc/resolv.conf"
printf '127.0.0.1 localhost mx-out1.esp.example mx-out1\n' >"$RUN/etc/hosts"
{ grep -v '^\(Debian-exim\|postfix\):' /etc/passwd; echo "Debian-exim:x:2100:2100::/nonexistent:/usr/sbin/nologin"
  echo "postfix:x:2101:2101::/nonexistent:/usr/sbin/nologin"; } >"$RUN/etc/passwd"
{ grep -v '^\(Debian-exim\|postfix\|postdrop\):' /etc/group; echo Debian-exim:x:2100:; echo postfix:x:2101:
  echo postdrop:x:2102:; } >"$RUN/etc/group"
echo "$RUN/exim.conf" >"$RUN/etc/exim4/trusted_configs"
chown -R 2100:2100 "$RUN/log/exim" "$RUN/spool-exim"
chown 2101:2101 "$RUN/lib-postfix"
mkdir -p "$RUN/etc/postfix"
cat >"$RUN/etc/postfix/main.cf" <<X
compatibility_level = 3.6
maillog_file = $RUN/log/postfix.log
maillog_file_prefixes = $RUN
queue_directory = $RUN/spool-postfix
data_directory = $RUN/lib-postfix
myhostname = mx-out1.esp.example
myorigin = mx-out1.esp.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination
queue_run_delay = 3s
minimal_backoff_time = 3s
maximal_backoff_time = 6s
transport_retry_time = 3s
maximal_queue_lifetime = 20s
bounce_queue_lifetime = 20s
smtp_connect_timeout = 3s
smtp_tls_security_level = none
alias_maps =
local_transport = error:none here
X
cat >"$RUN/etc/postfix/master.cf" <<'X'
3026      inet  n  -  n  -  -  smtpd
pickup    unix  n  -  n  60 1  pickup
cleanup   unix  n  -  n  -  0  cleanup
qmgr      unix  n  -  n  300 1 qmgr
rewrite   unix  -  -  n  -  -  trivial-rewrite
bounce    unix  -  -  n  -  0  bounce
defer     unix  -  -  n  -  0  bounce
trace     unix  -  -  n  -  0  bounce
verify    unix  -  -  n  -  1  verify
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -  -  proxymap
smtp      unix  -  -  n  -  -  smtp
relay     unix  -  -  n  -  -  smtp
error     unix  -  -  n  -  -  error
retry     unix  -  -  n  -  -  error
discard   unix  -  -  n  -  -  discard
anvil     unix  -  -  n  -  1  anvil
scache    unix  -  -  n  -  1  scache
postlog   unix-dgram n - n - 1 postlogd
X
cat >"$RUN/exim.conf" <<X
primary_hostname = mx-out1.esp.example
exim_path = /usr/sbin/exim4
spool_directory = $RUN/spool-exim
log_file_path = $RUN/log/exim/%slog
pid_file_path = $RUN/exim.pid
log_selector = +smtp_confirmation +millisec
log_timezone = true
local_interfaces = 127.0.0.1
daemon_smtp_ports = 3025
acl_smtp_rcpt = accept
acl_smtp_data = accept
never_users =
dns_retrans = 1s
dns_retry = 1
tls_advertise_hosts =
queue_run_max = 2
keep_environment =
begin routers
dnslookup:
  driver = dnslookup
  transport = remote_smtp
  no_more
begin transports
remote_smtp:
  driver = smtp
  connect_timeout = 3s
  hosts_try_dane =
begin retry
* *  F,16s,3s
X
mount -t overlay overlay -o "lowerdir=$RUN/etc:$ROOT/etc:/etc" /etc || exit 77
mount -t overlay overlay -o "lowerdir=$ROOT/usr:/usr" /usr || exit 77
export LD_LIBRARY_PATH=/usr/lib/postfix
python3 "$HERE/sink.py" "$RUN/truth.jsonl" 2>"$RUN/sink.err" &
sink=$!
for _ in $(seq 50); do [ -e "$RUN/truth.jsonl.ready" ] && break; sleep .1; done
# Exim does not go to the background under process 1, which this script is here: hence the &.
/usr/sbin/exim4 -C "$RUN/exim.conf" -bd -q2s 2>"$RUN/exim.err" &
/usr/sbin/postfix start >"$RUN/postfix.err" 2>&1
for _ in $(seq 100); do
  python3 -c 'import socket; [socket.create_connection(("127.0.0.1", p)).close() for p in (3025, 3026)]' 2>/dev/null && break
  sleep .1
done
echo ready
while read -r word rest; do
  case $word in
    inject) python3 "$HERE/inject.py" "$rest" ;;
    rotate-exim) mv "$RUN/log/exim/mainlog" "$RUN/log/exim/mainlog.1" ;;
    rotate-postfix) /usr/sbin/postfix logrotate >>"$RUN/postfix.err" 2>&1 ;;
    quit) break ;;
  esac
  echo "done $word"
done
/usr/sbin/postfix stop >>"$RUN/postfix.err" 2>&1
kill "$(cat "$RUN/exim.pid")" $sink
chmod -R a+rX "$RUN/log"
echo "done quit"
