# Sourced: starts the simulator and exports the settings it prints, except for the archive's.
# usage: console_archive=PROGRAM; consoles=FOLDER; . tests/simulator.sh; sets $simulator to its process ID

exec 3< <(exec "$console_archive" simulate --listen 127.0.0.1:0 --consoles "${consoles:-tests/fixtures/consoles}" 2>/dev/null)
simulator=$!
# It prints them once it listens, the archive's last.
while read -r line <&3; do
    case $line in
    'export ARCHIVE_URL='*) break ;;
    'export '*) export "${line#export }" ;;
    esac
done
