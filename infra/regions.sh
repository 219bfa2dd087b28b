#!/usr/bin/env bash
# Sends the events of other regions to the receiver (push) or to the function (alibaba), too: writes
# infra/FOLDER/regions.tf, which has the rules of each region that you name. `terraform apply` then sets all
# regions at once.
# usage: infra/regions.sh push|alibaba REGION...
# Each time, name all of them; without a name, no other region is left. Terraform needs a region's provider
# to remove its rules, so the file keeps the providers of regions that it once had.
set -euo pipefail

case ${1-} in
    push) target='

  url          = var.url
  token        = var.token
  token_in_url = var.token_in_url' ;;
    alibaba) target='

  bus = local.bus' ;;
    *)
        echo "usage: $0 push|alibaba REGION..." >&2
        exit 2
        ;;
esac
file=$(dirname "$0")/$1/regions.tf
shift
for region in "$@"; do
    if ! [[ $region =~ ^[a-z]{2,3}(-[a-z0-9]+)+$ ]]; then
        echo "$region is not the ID of a region, such as cn-hangzhou" >&2
        exit 2
    fi
done
# Its own rules or triggers would send each event a second time.
own=$(sed -n 's/^ *region *= *"\(.*\)".*$/\1/p' "$(dirname "$file")/terraform.tfvars" 2> /dev/null || true)
for region in "$@"; do
    if [[ $region = "$own" ]]; then
        echo "$region is the region of terraform.tfvars, whose events arrive already: leave it out" >&2
        exit 2
    fi
done
known=$(sed -n 's/^  alias  = "\(.*\)"$/\1/p' "$file" 2> /dev/null || true)

{
    echo "# Written by infra/regions.sh."
    for region in $(printf '%s\n' "$@" $known | sort -u); do
        printf '\nprovider "alicloud" {\n  alias  = "%s"\n  region = "%s"\n}\n' "$region" "$region"
    done
    for region in $(printf '%s\n' "$@" | sort -u); do
        cat << END

module "$region" {
  source    = "../rules"
  providers = { alicloud = alicloud.$region }
  region    = "$region"
  name      = var.name$target
}
END
    done
} > "$file.new"
mv "$file.new" "$file"
