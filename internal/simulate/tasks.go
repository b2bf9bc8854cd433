package simulate

import (
	"container/heap"
	"time"
)

// task is something that happens at a time, and may be a delivery.
type task struct {
	at  time.Time
	seq uint64
	do  func(at time.Time) (Delivery, bool)
}

// tasks are what is still to happen; of two at one time, the first that was
// pushed happens first.
type tasks struct {
	heap taskHeap
	seq  uint64
}

func (q *tasks) push(at time.Time, do func(time.Time) (Delivery, bool)) {
	q.seq++
	heap.Push(&q.heap, task{at: at, seq: q.seq, do: do})
}

func (q *tasks) pop() task { return heap.Pop(&q.heap).(task) }

// taskHeap implements heap.Interface.
type taskHeap []task

func (h taskHeap) Len() int { return len(h) }

func (h taskHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}

func (h taskHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *taskHeap) Push(x any) { *h = append(*h, x.(task)) }

func (h *taskHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = task{}
	*h = (*h)[:last]
	return t
}
