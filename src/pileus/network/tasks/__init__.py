"""What makes the hosts be as the rows say: specs out of rows, one program for a thing that changed, a loop for all of them."""
