#!/usr/bin/env bash
# A real Slurm of one node on 127.0.0.1, for tests: slurm.sh start | stop | status | config
#
# Needs root (slurmd and munged are daemons of root here) and, where Slurm is not installed, Debian or Ubuntu.
# Everything it writes is in $FORETELL_SLURM [/run/foretell-slurm]; a Slurm that the machine has already is left alone.
# `start` does nothing where it already runs. Clients find it by SLURM_CONF, which `slurm.sh config` prints.
set -euo pipefail

home=${FORETELL_SLURM:-/run/foretell-slurm}
export SLURM_CONF=$home/slurm.conf
node=$(hostname -s)

fail() {
    echo "slurm.sh: $*" >&2
    exit 1
}

running() { [ -f "$SLURM_CONF" ] && scontrol ping 2>/dev/null | grep -q UP && sinfo -h -p main -t idle,mix,alloc -o %n 2>/dev/null | grep -q .; }

install() {
    if command -v slurmctld slurmd munged sbatch >/dev/null; then return; fi
    command -v apt-get >/dev/null || fail "Slurm is not installed and there is no apt-get; install slurmctld, slurmd, slurm client and munge"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || fail "apt-get update failed; is there a package mirror?"
    apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null ||
        fail "slurmctld, slurmd, slurm-client and munge cannot be installed"
}

configure() {
    mkdir -p "$home/munge" "$home/state" "$home/spool" "$home/log"
    chmod 700 "$home/munge"
    if [ ! -s "$home/munge/key" ]; then
        (umask 077 && head -c 1024 /dev/urandom >"$home/munge/key")
    fi
    local memory=$(($(awk '/^MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10))
    cat >"$SLURM_CONF" <<CONF
ClusterName=foretell
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$home/munge/socket
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/log/slurmctld.log
SlurmdLogFile=$home/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
ReturnToService=2
JobRequeue=1
KillWait=3
MpiDefault=none
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=01:00:00 State=UP
PartitionName=closed Nodes=$node MaxTime=INFINITE State=DOWN
CONF
}

start() {
    [ "$(id -u)" = 0 ] || fail "Slurm's daemons need root; run this as root (sudo $0 start)"
    install
    mkdir -p "$home"
    exec 9>"$home/lock"
    flock 9 # two test processes may both start it
    if running; then
        echo "Slurm runs already: SLURM_CONF=$SLURM_CONF"
        return
    fi
    end
    configure
    munged --force --num-threads=2 --key-file="$home/munge/key" --socket="$home/munge/socket" --pid-file="$home/munge/pid" \
        --log-file="$home/munge/log" --seed-file="$home/munge/seed" 9>&- || fail "munged does not start"
    slurmctld -c 9>&- || fail "slurmctld does not start; see $home/log"
    slurmd -N "$node" 9>&- || fail "slurmd does not start; see $home/log"
    for _ in $(seq 150); do
        if running; then
            echo "Slurm runs: SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.2
    done
    tail -n 20 "$home"/log/*.log >&2 || true
    fail "Slurm did not get ready within 30 s"
}

end() {
    for file in "$home/slurmd.pid" "$home/slurmctld.pid" "$home/munge/pid"; do
        [ -s "$file" ] || continue
        local number
        number=$(cat "$file")
        kill "$number" 2>/dev/null || true
        for _ in $(seq 100); do
            kill -0 "$number" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$number" 2>/dev/null || true
        rm -f "$file"
    done
}

stop() {
    if [ -f "$SLURM_CONF" ]; then
        [ "$(id -u)" = 0 ] || fail "Slurm's daemons belong to root; run this as root (sudo $0 stop)"
        scancel --user=root 2>/dev/null || true
        end
        rm -rf "$home"
    fi
    echo "Slurm is stopped"
}

case "${1:-}" in
start) start ;;
stop) stop ;;
status) running && echo "Slurm runs: SLURM_CONF=$SLURM_CONF" ;;
config) echo "$SLURM_CONF" ;;
*) fail "say start, stop, status or config" ;;
esac
