// SPDX-License-Identifier: GPL-2.0
/* Breaks its kernel on purpose: insmod faults.ko fault=bug */

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/string.h>

/* As long as a watchdog with its shortest times needs. */
#define SPIN_SECONDS 30

static char *fault = "";
module_param(fault, charp, 0);

static struct rcu_head waiting;

static void waited(struct rcu_head *head)
{
}

static noinline void faults_write(unsigned long address)
{
	*(volatile int *)address = 1;
}

static noinline int faults_divide(volatile int by)
{
	return 1000 / by; /* Not 1: a compiler compares instead of dividing. */
}

static noinline int faults_recurse(volatile int depth)
{
	volatile char frame[512];

	frame[0] = depth;
	return faults_recurse(depth + 1) + frame[0];
}

static void spin(void)
{
	int second;

	for (second = 0; second < SPIN_SECONDS; second++)
		mdelay(1000);
}

static noinline void faults_spin(void)
{
	preempt_disable();
	spin();
	preempt_enable();
}

static noinline void faults_read(void)
{
	rcu_read_lock();
	call_rcu(&waiting, waited);
	spin();
	rcu_read_unlock();
	rcu_barrier();
}

static noinline void faults_refcount(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	refcount_dec(&count);
	refcount_dec(&count);
}

static int __init faults_init(void)
{
	if (!strcmp(fault, "warning"))
		WARN(1, "faults: told to warn\n");
	else if (!strcmp(fault, "bug"))
		BUG();
	else if (!strcmp(fault, "null"))
		faults_write(8);
	else if (!strcmp(fault, "protection"))
		faults_write(0xdead000000000100); /* Not canonical. */
	else if (!strcmp(fault, "divide"))
		return faults_divide(0);
	else if (!strcmp(fault, "stack"))
		return faults_recurse(0);
	else if (!strcmp(fault, "refcount"))
		faults_refcount();
	else if (!strcmp(fault, "spin"))
		faults_spin();
	else if (!strcmp(fault, "read"))
		faults_read();
	else
		return -EINVAL;
	return 0;
}

static void __exit faults_exit(void)
{
}

module_init(faults_init);
module_exit(faults_exit);
MODULE_DESCRIPTION("Breaks its kernel on purpose");
MODULE_LICENSE("GPL");
